import { writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { expect, inject, test } from 'vitest'
import { CHECKOUT } from '../../manifests/manifest-objects.ts'
import { artifact, load } from '../../support/artifact.ts'
import { poll } from '../../support/poll.ts'
import { generatedContent } from '../../support/registry/content.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { placesIn } from '../places.ts'
import { install, ready } from '../support/install.ts'
import { createKubectl, type Kubectl } from '../support/kubectl.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { podObject, podReady } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const MANIFESTS = join(CHECKOUT, 'manifests')
const COMPONENTS = ['events', 'startup-taint'] as const
const KEY = 'csi.oras.land/agent-not-ready'
const SIZE = 1536 * 1024
/** Longer than half a minute, after which a pod is told how far its pull is. */
const PULL_S = 50

test('with its components, a driver takes the startup taint off its node, and tells a pod how far its pull is', async () => {
  const cluster = createKubectl(placesIn(inject('clusterRoot')))
  const node = await cluster.run('get', 'nodes', '--output=jsonpath={.items[0].metadata.name}')
  await cluster.run('taint', 'node', node, `${KEY}=:NoSchedule`)
  await using _components = await withComponents(cluster)
  await poll(
    async () => {
      const taints = await cluster.run('get', 'node', node, '--output=jsonpath={.spec.taints}')
      return !taints.includes(KEY)
    },
    { deadlineMs: 60_000, what: 'the startup taint to go' },
  )

  await using registry = await startNodeRegistry('ghcr.io')
  const digest = registry.addBlob('acme/told', generatedContent(SIZE, 7))
  load(registry, 'acme/told:v1', artifact({ layers: [{ title: 'model.bin', digest, size: SIZE }] }))
  registry.fault(
    { path: '/v2/acme/told/blobs/*' },
    { kind: 'throttle', bytesPerSecond: Math.floor(SIZE / PULL_S) },
  )
  await using scenario = await openScenario('told')
  const { kubectl } = scenario
  const annotations = { 'oras.land/artifacts': '/model: ghcr.io/acme/told:v1' }
  await kubectl.apply([podObject('told', { annotations })])
  const described = () => kubectl.run('describe', 'pod', 'told')
  await poll(
    async () =>
      /Normal +PullingArtifact .* Pulling artifact "ghcr\.io\/acme\/told:v1": [\d.]+ [KM]iB of 1\.5 MiB/.test(
        await described(),
      ),
    { deadlineMs: 90_000, what: 'the pod to be told how far its pull is' },
  )
  await podReady(kubectl, 'told', 120_000)
  await poll(
    async () =>
      /Normal +PulledArtifact .* Pulled artifact "ghcr\.io\/acme\/told:v1" \(1\.5 MiB\) in \d+ s/.test(
        await described(),
      ),
    { deadlineMs: 30_000, what: 'the pod to be told that it is pulled' },
  )
  expect(await described()).not.toContain('FailedMount')
})

/** Applies the manifests with the components; disposing takes these back. */
async function withComponents(cluster: Kubectl): Promise<AsyncDisposable> {
  await using directory = await temporaryDirectory()
  const there = relative(directory.path, MANIFESTS)
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [there],
    components: COMPONENTS.map((name) => `${there}/components/${name}`),
  }
  await writeFile(directory.file('kustomization.yaml'), JSON.stringify(kustomization))
  await cluster.runFor(60_000, 'apply', '-k', directory.path)
  await ready(cluster)
  return {
    async [Symbol.asyncDispose]() {
      await install(cluster)
      for (const name of COMPONENTS) {
        const folder = join(MANIFESTS, 'components', name)
        await cluster.run(
          'delete',
          `--filename=${folder}/rbac.yaml`,
          `--filename=${folder}/policy.yaml`,
        )
      }
    },
  }
}
