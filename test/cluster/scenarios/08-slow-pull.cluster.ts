import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { readMounts } from '../../support/mounts.ts'
import { poll } from '../../support/poll.ts'
import { generatedContent } from '../../support/registry/content.ts'
import type { TestRegistry } from '../../support/registry.ts'
import { NODE_PATHS } from '../places.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { leases } from '../support/node-state.ts'
import { podObject, podReady, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

/** The kubelet waits two minutes for a volume to be published. */
const KUBELET_WAITS_S = 120
/** Too small for several connections, each of which the registry would slow down on its own. */
const SIZE = 1536 * 1024

test('a pull that takes longer than the kubelet waits ends in a running pod, downloaded once', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  loadModel(registry, 'slow')
  registry.fault(
    { path: '/v2/acme/slow/blobs/*' },
    { kind: 'throttle', bytesPerSecond: Math.floor(SIZE / (KUBELET_WAITS_S + 20)) },
  )
  await using scenario = await openScenario('slow')
  const { kubectl } = scenario
  const start = performance.now()
  await kubectl.apply([
    podObject('slow', { annotations: { 'oras.land/artifacts': '/model: ghcr.io/acme/slow:v1' } }),
  ])
  await podReady(kubectl, 'slow', 240_000)
  expect((performance.now() - start) / 1000).toBeGreaterThan(KUBELET_WAITS_S)
  expect(await shellIn(kubectl, 'slow', 'wc -c < /model/model.bin')).toBe(`${SIZE}\n`)
  expect(await kubectl.run('describe', 'pod', 'slow')).toContain(
    'Still pulling "ghcr.io/acme/slow:v1"',
  )
  expect(bytesSent(registry, 'slow')).toBe(SIZE)
})

test('deleting a pod in the middle of its pull leaves nothing', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  loadModel(registry, 'endless')
  // It takes twenty minutes.
  registry.fault(
    { path: '/v2/acme/endless/blobs/*' },
    { kind: 'throttle', bytesPerSecond: Math.floor(SIZE / 1200) },
  )
  await using scenario = await openScenario('endless')
  const { kubectl } = scenario
  const before = await leases()
  await kubectl.apply([
    podObject('endless', {
      annotations: { 'oras.land/artifacts': '/model: ghcr.io/acme/endless:v1' },
    }),
  ])
  await poll(() => bytesSent(registry, 'endless') > 0, {
    deadlineMs: 60_000,
    what: 'the download to begin',
  })
  const pod = await kubectl.get('pod', 'endless')
  expect((await leases()).length).toBe(before.length + 1)

  // The kubelet only gives a volume up when the call that publishes it has come back. Sometimes the pod is gone before that.
  await kubectl.runFor(200_000, 'delete', 'pod', 'endless', '--timeout=190s')
  await poll(async () => (await leases()).length === before.length, {
    deadlineMs: (KUBELET_WAITS_S + 30) * 1000,
    what: 'the lease to be dropped',
  })
  // The kubelet removes a pod's directory some seconds after the pod.
  await poll(
    async () => !(await readdir(`${NODE_PATHS.kubelet}/pods`)).includes(pod.metadata.uid),
    { deadlineMs: 60_000, what: "the pod's directory to be removed" },
  )
  const mounts = await readMounts()
  expect(mounts.filter(({ mountPoint }) => mountPoint.includes(pod.metadata.uid))).toEqual([])
  expect(bytesSent(registry, 'endless')).toBeLessThan(SIZE)
})

function loadModel(registry: TestRegistry, name: string): void {
  const digest = registry.addBlob(`acme/${name}`, generatedContent(SIZE, name.length))
  const layer = { title: 'model.bin', digest, size: SIZE }
  load(registry, `acme/${name}:v1`, artifact({ layers: [layer] }))
}

/** How much of the blobs of a repository the registry has sent so far. */
function bytesSent(registry: TestRegistry, name: string): number {
  const requests = registry.requests.filter(({ path }) =>
    path.startsWith(`/v2/acme/${name}/blobs/`),
  )
  return requests.reduce((sum, request) => sum + request.bytesSent, 0)
}
