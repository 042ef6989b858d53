import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { poll } from '../../support/poll.ts'
import type { TestRegistry } from '../../support/registry.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { BUSYBOX_IMAGE } from '../images/base-images.ts'
import type { Kubectl, KubernetesObject } from '../support/kubectl.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { deploymentObject, deploymentReady, podObject, podReady, podsOf } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const WORD = 'composed'
const annotations = { 'oras.land/artifacts': '/data: ghcr.io/acme/word:v1' }
const VOLUME = {
  name: 'oras-data',
  csi: {
    driver: 'csi.oras.land',
    readOnly: true,
    volumeAttributes: { 'oras.artifact.reference': 'ghcr.io/acme/word:v1' },
  },
}
const MOUNT = { name: 'oras-data', mountPath: '/data', readOnly: true }
const JOB_MS = 120_000

test('pods of a StatefulSet, an indexed Job and a CronJob come composed, and run', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  loadWord(registry)
  await using scenario = await openScenario('workloads')
  const { kubectl } = scenario
  await kubectl.apply([statefulSet(), indexedJob(), cronJob()])
  await kubectl.run('create', 'job', 'tonight', '--from=cronjob/nightly')

  const rollout = ['rollout', 'status', 'statefulset/db', `--timeout=${JOB_MS / 1000}s`]
  await kubectl.runFor(JOB_MS + 5_000, ...rollout)
  for (const pod of ['db-0', 'db-1']) {
    expect(await kubectl.run('exec', pod, '--', 'cat', '/data/word')).toBe(WORD)
  }
  for (const job of ['align', 'tonight']) {
    const wait = ['wait', '--for=condition=complete', `job/${job}`, `--timeout=${JOB_MS / 1000}s`]
    await kubectl.runFor(JOB_MS + 5_000, ...wait)
  }
  expect(await linesOf(kubectl, 'align')).toEqual([`${WORD} 0`, `${WORD} 1`])
  expect(await linesOf(kubectl, 'tonight')).toEqual([WORD])

  const { items } = await kubectl.get('pods')
  const composed = items.map((pod: KubernetesObject) => {
    const [owner] = pod.metadata.ownerReferences
    const volumes = pod.spec.volumes.filter(({ csi }: KubernetesObject) => csi !== undefined)
    const [mount] = pod.spec.containers[0].volumeMounts.filter(
      ({ name }: KubernetesObject) => name === VOLUME.name,
    )
    return { owner: `${owner.kind} ${owner.name}`, volumes, mount }
  })
  const owners = ['Job align', 'Job align', 'Job tonight', 'StatefulSet db', 'StatefulSet db']
  expect(
    composed.toSorted((a: { owner: string }, b: { owner: string }) =>
      a.owner < b.owner ? -1 : Number(a.owner > b.owner),
    ),
  ).toEqual(owners.map((owner) => ({ owner, volumes: [VOLUME], mount: MOUNT })))
  expect(registry.count('GET', '/v2/acme/word/blobs/*')).toBe(1)
})

test('an annotated Deployment that the server applies again stays as it is, with its pods', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  loadWord(registry)
  await using scenario = await openScenario('applied')
  const { kubectl } = scenario
  await using directory = await temporaryDirectory()
  const file = directory.file('deployment.json')
  await writeFile(file, JSON.stringify(deploymentObject('web', 2, { annotations })))
  const apply = () => kubectl.run('apply', '--server-side', '-f', file)
  await apply()
  await deploymentReady(kubectl, 'web')
  const before = await kubectl.get('deployment', 'web')
  const pods = await namesOf(kubectl, 'web')
  expect(pods.length).toBe(2)
  // Neither a conflict nor a difference, although every pod has more than the template.
  expect(await kubectl.run('diff', '--server-side', '-f', file)).toBe('')
  await apply()
  const { metadata, spec } = await kubectl.get('deployment', 'web')
  expect([metadata.generation, spec]).toEqual([before.metadata.generation, before.spec])
  expect(spec.template.spec.volumes).toBeUndefined()
  expect(await namesOf(kubectl, 'web')).toEqual(pods)
})

test('a dry run of the server shows the composed pod, and makes none', async () => {
  await using scenario = await openScenario('dry-run')
  const { kubectl } = scenario
  await using directory = await temporaryDirectory()
  const file = directory.file('pod.json')
  await writeFile(file, JSON.stringify(podObject('dry', { annotations })))
  const text = await kubectl.run('apply', '--dry-run=server', '-o', 'json', '-f', file)
  const pod: KubernetesObject = JSON.parse(text)
  expect(pod.spec.volumes).toContainEqual(VOLUME)
  expect(pod.spec.containers[0].volumeMounts).toContainEqual(MOUNT)
  expect(JSON.parse(pod.metadata.annotations['oras.land/status'])).toMatchObject({
    volumes: [{ name: 'oras-data', reference: 'ghcr.io/acme/word:v1' }],
  })
  await expect(kubectl.get('pod', 'dry')).rejects.toThrow('pods "dry" not found')
})

test('kubectl debug looks into a composed pod, which stays as it is', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  loadWord(registry)
  await using scenario = await openScenario('debug')
  const { kubectl } = scenario
  await kubectl.apply([podObject('composed', { annotations })])
  await podReady(kubectl, 'composed')
  const before = await kubectl.get('pod', 'composed')

  const image = [`--image=${BUSYBOX_IMAGE}`, '--container=shell', '--target=main']
  const program = ['--', 'sleep', '1000000']
  await kubectl.run('debug', 'composed', ...image, '--profile=general', ...program)
  const shell = (...command: readonly string[]) =>
    kubectl.run('exec', 'composed', '--container=shell', '--', ...command)
  // It shares the processes of the container, and so sees its files; it has no mount of its own.
  const word = await poll(() => shell('cat', '/proc/1/root/data/word'), {
    deadlineMs: 60_000,
    what: 'the ephemeral container to read the artifact',
  })
  expect(word).toBe(WORD)
  await expect(shell('ls', '/data')).rejects.toThrow('No such file or directory')

  const after = await kubectl.get('pod', 'composed')
  const { ephemeralContainers, ...spec } = after.spec
  expect(spec).toEqual(before.spec)
  expect(ephemeralContainers).toMatchObject([{ name: 'shell' }])
  expect(ephemeralContainers[0].volumeMounts).toBeUndefined()
  expect(after.metadata.annotations).toEqual(before.metadata.annotations)
  expect(after.status.containerStatuses[0].restartCount).toBe(0)
})

function loadWord(registry: TestRegistry): void {
  load(registry, 'acme/word:v1', artifact({ layers: [{ title: 'word', content: WORD }] }))
}

function statefulSet(): object {
  const labels = { app: 'db' }
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'db' },
    spec: {
      replicas: 2,
      serviceName: 'db',
      selector: { matchLabels: labels },
      template: template({ labels }, 'sleep 1000000'),
    },
  }
}

function indexedJob(): object {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'align' },
    spec: { completions: 2, parallelism: 2, completionMode: 'Indexed', template: wordJob() },
  }
}

/** Runs only when somebody makes a Job of it. */
function cronJob(): object {
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'nightly' },
    spec: {
      schedule: '0 0 1 1 *',
      suspend: true,
      jobTemplate: { spec: { template: wordJob() } },
    },
  }
}

function wordJob(): object {
  const script = 'echo "$(cat /data/word) $JOB_COMPLETION_INDEX"'
  return template({}, script, { restartPolicy: 'Never' })
}

function template(metadata: object, script: string, spec: object = {}): object {
  const command = ['sh', '-c', script]
  return {
    metadata: { ...metadata, annotations },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: BUSYBOX_IMAGE, command }],
      ...spec,
    },
  }
}

/** What a Job's pods wrote, sorted. */
async function linesOf(kubectl: Kubectl, job: string): Promise<string[]> {
  const logs = await kubectl.run('logs', '--selector', `job-name=${job}`, '--tail=-1')
  return logs.trim().split('\n').sort()
}

async function namesOf(kubectl: Kubectl, app: string): Promise<string[]> {
  return (await podsOf(kubectl, app)).map((pod) => pod.metadata.name).sort()
}
