import { poll } from '../../support/poll.ts'
import { BUSYBOX_IMAGE } from '../images/base-images.ts'
import type { Kubectl, KubernetesObject } from './kubectl.ts'

/** What a test pod is to be; everything has a default. */
export interface PodOptions {
  readonly annotations?: Readonly<Record<string, string>>
  readonly image?: string
  /** Default: sleeps. */
  readonly command?: readonly string[]
  /** Merged into the pod's spec. */
  readonly spec?: object
  /** Merged into its container, which is called `main`. */
  readonly container?: object
}

const READY_MS = 90_000

/** Makes a pod with one container. It ends at once when told to. */
export function podObject(name: string, options: PodOptions = {}): object {
  return { apiVersion: 'v1', kind: 'Pod', ...podTemplate(options, { name }) }
}

/** Makes a Deployment of such pods. */
export function deploymentObject(name: string, replicas: number, options: PodOptions): object {
  const labels = { app: name }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: podTemplate(options, { labels }),
    },
  }
}

/** Waits until a pod is ready. @throws with what `kubectl describe` says of it */
export async function podReady(
  kubectl: Kubectl,
  name: string,
  timeoutMs = READY_MS,
): Promise<void> {
  const wait = ['wait', '--for=condition=Ready', `pod/${name}`, `--timeout=${timeoutMs / 1000}s`]
  try {
    await kubectl.runFor(timeoutMs + 5_000, ...wait)
  } catch (error) {
    const described = await kubectl.run('describe', 'pod', name)
    throw new Error(`Pod ${name} is not ready:\n${described}`, { cause: error })
  }
}

/** Waits until a Deployment is there with all its pods. @throws with what `kubectl describe` says of its pods */
export async function deploymentReady(kubectl: Kubectl, name: string): Promise<void> {
  const status = ['rollout', 'status', `deployment/${name}`, `--timeout=${READY_MS / 1000}s`]
  try {
    await kubectl.runFor(READY_MS + 5_000, ...status)
  } catch (error) {
    const described = await kubectl.run('describe', 'replicaset,pod')
    throw new Error(`Deployment ${name} is not ready:\n${described}`, { cause: error })
  }
}

/** The pods with a label `app`, as JSON, without those that end. */
export async function podsOf(kubectl: Kubectl, app: string): Promise<readonly KubernetesObject[]> {
  const { items } = await kubectl.get('pods', '--selector', `app=${app}`)
  return items.filter((pod: KubernetesObject) => pod.metadata.deletionTimestamp === undefined)
}

/** Runs a shell command in a pod's container. */
export function shellIn(kubectl: Kubectl, pod: string, script: string): Promise<string> {
  return kubectl.run('exec', pod, '--', 'sh', '-c', script)
}

function podTemplate(options: PodOptions, metadata: object) {
  return {
    metadata: { ...metadata, ...(options.annotations && { annotations: options.annotations }) },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: options.image ?? BUSYBOX_IMAGE,
          command: options.command ?? ['sleep', '1000000'],
          ...options.container,
        },
      ],
      ...options.spec,
    },
  }
}

/** What a pod answers over HTTP, once it does: a container that runs may take a moment until it serves. */
export function answerOf(address: string, port: number): Promise<string> {
  return poll(async () => (await fetch(`http://${address}:${port}/`)).text(), {
    deadlineMs: 60_000,
    what: `an answer of ${address}:${port}`,
  })
}
