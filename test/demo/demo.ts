import { writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'
import { controllerMadePod, podReview } from '../support/admission-review.ts'
import { openApiServer } from '../support/api-server.ts'
import { artifact, push } from '../support/artifact.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startNode } from '../support/driver.ts'
import { type PublishRequest, publishRequest } from '../support/kubelet.ts'
import { readMounts } from '../support/mounts.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { type ComposedPod, composedPod, podParts } from './composed-pod.ts'
import { runInContainer } from './container.ts'
import type { Stage } from './stage.ts'

const MOUNT_PATH = '/opt/app'
const DATA_BYTES = 32 * 1024 * 1024

/**
 * Runs the main job on real parts and shows it: registry, webhook over HTTPS, driver over gRPC, mounts. Whatever is printed was
 * observed; whatever is not as it should be throws.
 */
export async function runDemo(stage: Stage): Promise<void> {
  await using registry = await startRegistry()
  await using directory = await temporaryDirectory()
  await using node = await startNode(registry)
  const repository = `${registry.host}/demo/app`

  stage.step(
    'An application is pushed as an artifact: a script, and 32 MiB of data. No image is built.',
  )
  for (const version of ['v1', 'v2']) {
    await push(registry.url, `demo/app:${version}`, application(version))
    stage.say(`pushed ${repository}:${version}`)
  }

  stage.step('The webhook and the node driver start: the two processes that run on a cluster.')
  const authority = await createCertificateAuthority()
  const pair = await authority.issue({ names: ['127.0.0.1'] })
  await writeFile(directory.file('tls.crt'), pair.cert)
  await writeFile(directory.file('tls.key'), pair.key)
  const started = performance.now()
  await using webhook = startProcess({
    args: [
      'webhook/main.ts',
      ...['--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0'],
      ...['--certificate-directory', directory.path, '--shutdown-grace', '0s'],
    ],
  })
  await using driver = await node.startDriver()
  const { json } = await webhook.waitForLine(withMessage('serving'))
  stage.say(`both ready after ${milliseconds(started)}; the kubelet has registered csi.oras.land`)
  await using api = openApiServer({
    url: `https://127.0.0.1:${json?.['port']}`,
    ca: authority.cert,
  })
  const admit = async (annotation: string) => {
    const pod = controllerMadePod({
      annotations: { 'oras.land/artifacts': annotation },
      spec: {
        containers: [{ name: 'app', image: 'debian:12', command: [`${MOUNT_PATH}/hello`] }],
      },
    })
    return { before: pod, ...(await api.mutate('/mutate', podReview(pod))) }
  }

  stage.step('A pod of an annotated Deployment arrives. Before:')
  const first = await admit(`${MOUNT_PATH}: ${repository}:v1`)
  const before = excerpt(first.before)
  stage.show(before)
  stage.say('and after the webhook, asked over HTTPS as the API server asks it:')
  const known = new Set(before.split('\n'))
  stage.show(excerpt(first.object), (line) => !known.has(line))

  const publish = async (name: string, { volume }: ComposedPod) => {
    const request = await publishRequest({
      kubeletDir: node.kubeletDir,
      pod: { name, namespace: 'default', uid: `uid-${name}` },
      volumeName: volume.name,
      attributes: volume.csi.volumeAttributes,
      readOnly: volume.csi.readOnly,
    })
    const from = performance.now()
    await driver.csi.nodePublishVolume(request)
    return { request, took: milliseconds(from) }
  }
  const hello = async ({ request }: { request: PublishRequest }) => {
    const { output } = await runInContainer(request.target_path, MOUNT_PATH, [
      `${MOUNT_PATH}/hello`,
    ])
    stage.terminal(`${MOUNT_PATH}/hello`, output)
    return output
  }

  stage.step('The kubelet publishes the volume: the driver pulls, verifies and mounts it.')
  registry.clearRequests()
  const pod1 = await publish('pod-1', composedPod(first.object))
  stage.say(`published in ${pod1.took} (${registry.requests.length} requests to the registry)`)
  stage.say(`inside the container, in its own mount namespace, at ${MOUNT_PATH}:`)
  expect(await hello(pod1), /from artifact v1/)

  stage.step('A second pod of the same artifact: the node has it already.')
  registry.clearRequests()
  const pod2 = await publish(
    'pod-2',
    composedPod((await admit(`${MOUNT_PATH}: ${repository}:v1`)).object),
  )
  expect(registry.requests.length, 0)
  stage.say(`published in ${pod2.took} (no request to the registry)`)

  stage.step('Nobody can change what was verified.')
  const write = await runInContainer(pod2.request.target_path, MOUNT_PATH, [
    'touch',
    `${MOUNT_PATH}/hello`,
  ])
  expect(write.output, /Read-only file system/)
  stage.terminal(`touch ${MOUNT_PATH}/hello`, write.output, 'failed')

  stage.step('The artifact rolls to v2. A new pod gets it; the first goes on with v1.')
  const pod3 = await publish(
    'pod-3',
    composedPod((await admit(`${MOUNT_PATH}: ${repository}:v2`)).object),
  )
  stage.say(`pod-3, published in ${pod3.took} (the 32 MiB of data are on the node already):`)
  expect(await hello(pod3), /from artifact v2/)
  stage.say('pod-1:')
  expect(await hello(pod1), /from artifact v1/)

  stage.step('Somebody mistypes the annotation. kubectl apply would say:')
  const wrong = await admit(`${MOUNT_PATH}: {referense: ${repository}:v1}`)
  expect(wrong.response.allowed, false)
  stage.terminal('kubectl apply -f app.yaml', denial(wrong.response.status?.message), 'failed')

  stage.step('The pods end. The kubelet unpublishes.')
  for (const { request } of [pod1, pod2, pod3]) await driver.csi.nodeUnpublishVolume(request)
  const left = (await readMounts()).filter(({ mountPoint }) =>
    mountPoint.startsWith(`${node.kubeletDir}/`),
  )
  expect(left.length, 0)
  stage.say('volumes left mounted: 0')

  driver.process.kill('SIGTERM')
  webhook.kill('SIGTERM')
  expect((await driver.process.exited).code, 0)
  expect((await webhook.exited).code, 0)
  stage.end('That was the main job. To run it on a cluster: README.md, "Install".')
}

function application(version: string) {
  const script = [
    '#!/bin/sh',
    '. /etc/os-release',
    `echo "Hello from artifact ${version}, running on the base image $PRETTY_NAME"`,
    '',
  ].join('\n')
  return artifact({
    layers: [
      { title: 'hello', content: script },
      { title: 'data.bin', content: Buffer.alloc(DATA_BYTES, 'oras-csi') },
    ],
  })
}

/** What the webhook reads and writes of a pod. */
function excerpt(pod: unknown): string {
  const { annotations, spec } = podParts(pod)
  return stringify({ metadata: { annotations }, spec }, { lineWidth: 0 })
}

function denial(message: string | undefined): string {
  return `Error from server: admission webhook "mutate.oras.land" denied the request: ${message}`
}

function milliseconds(since: number): string {
  const ms = performance.now() - since
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`
}

/** Nothing is shown as a success that was not one. */
function expect(
  seen: string | number | boolean | null,
  wanted: RegExp | string | number | boolean,
): void {
  const good = wanted instanceof RegExp ? wanted.test(String(seen)) : seen === wanted
  if (!good) throw new Error(`The demo saw ${JSON.stringify(seen)} and expected ${String(wanted)}`)
}
