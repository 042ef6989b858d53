import { writeFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { type ApiImitation, startApiImitation } from '../support/api-imitation.ts'
import { artifact, load, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { withMessage } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const why = await whyNoMounts()
const WAIT = { deadlineMs: 30_000, what: 'events' }
vi.setConfig({ testTimeout: 90_000 })
const CONTENT = 'x'.repeat(2_048)

function cluster(server: ApiImitation) {
  return { env: server.env, args: [`--account-directory=${server.accountDirectory}`] }
}

/** A pull takes a second on a busy machine, and is told before it ends then. */
function pulled(server: ApiImitation) {
  return server.events().filter(({ reason }) => reason === 'PulledArtifact')
}

function told(server: ApiImitation, events = server.events()) {
  return events.map(({ involvedObject, type, reason, message, count }) =>
    [involvedObject['name'], type, reason, message.replace(/\d+\.\d s/, 'N s'), count].join(' '),
  )
}

test('a pod is told what was pulled for it; one that the node had it for, nothing', async (context) => {
  skipUnless(context, why)
  await using server = await startApiImitation()
  await using registry = await startRegistry()
  await push(registry.url, 'acme/a:v1', artifact({ layers: [{ title: 'file', content: CONTENT }] }))
  await using node = await startNode(registry)
  await using driver = await node.startDriver(cluster(server))
  const reference = `${registry.host}/acme/a:v1`
  const requests = [await node.request('one', reference), await node.request('two', reference)]
  for (const request of requests) await driver.csi.nodePublishVolume(request)
  await poll(() => pulled(server).length > 0, WAIT)
  expect(told(server, pulled(server))).toEqual([
    `one Normal PulledArtifact Pulled artifact "${reference}" (2.0 KiB) in N s 1`,
  ])
  expect(pulled(server)[0]?.['source']).toEqual({ component: 'csi.oras.land', host: 'node-1' })
  await poll(
    async () =>
      sampleOf(await scrape(driver.healthUrl), 'oras_csi_events_written_total') ===
      server.events().length,
    WAIT,
  )
  for (const request of requests) await driver.csi.nodeUnpublishVolume(request)
})

test('a pod that waits is told that, and with what size; its secret is nowhere', async (context) => {
  skipUnless(context, why)
  await using server = await startApiImitation()
  await using registry = await startRegistry()
  const built = artifact({ layers: [{ title: 'file', content: CONTENT }] })
  load(registry, 'acme/slow:v1', built)
  using gate = registry.hold({ path: /\/blobs\// })
  await using node = await startNode(registry)
  await using driver = await node.startDriver(cluster(server))
  const reference = `${registry.host}/acme/slow:v1`
  const secret = {
    '.dockerconfigjson': JSON.stringify({
      auths: { [registry.host]: { username: 'user', password: 'very-secret' } },
    }),
  }
  const request = await node.request('one', reference, { secret })
  const published = driver.csi.nodePublishVolume(request, { deadlineMs: 60_000 })
  await poll(() => server.events().length === 1, WAIT)
  expect(told(server)).toEqual([
    `one Normal PullingArtifact Pulling artifact "${reference}": 2.0 KiB 1`,
  ])
  gate.release()
  await published
  await poll(() => pulled(server).length === 1, WAIT)
  expect(JSON.stringify(server.calls)).not.toContain('very-secret')
  await driver.csi.nodeUnpublishVolume(request)
})

test('a pod that the policy denies is told so, once and counted', async (context) => {
  skipUnless(context, why)
  await using server = await startApiImitation()
  await using directory = await temporaryDirectory()
  const policy = directory.file('policy.yaml')
  await writeFile(policy, 'apiVersion: csi.oras.land/v1alpha1\nkind: Policy\ndefault: deny\n')
  await using node = await startNode()
  const { env, args } = cluster(server)
  await using driver = await node.startDriver({ env, args: [...args, `--policy-file=${policy}`] })
  const request = await node.request('one', 'ghcr.io/acme/a:v1')
  for (let index = 1; index <= 3; index += 1) {
    await expect(driver.csi.nodePublishVolume(request)).rejects.toThrow('PERMISSION_DENIED')
    await poll(() => server.events()[0]?.count === index, WAIT)
  }
  expect(told(server)).toEqual([
    expect.stringMatching(/^one Warning DeniedArtifact .*ghcr\.io\/acme\/a:v1.* 3$/),
  ])
})

test.for(['hang', 'close', { status: 403, message: 'no' }, { status: 500, message: 'x' }] as const)(
  'an API server that answers %j costs a publish nothing, and its events are counted',
  async (fault, context) => {
    skipUnless(context, why)
    await using server = await startApiImitation()
    server.fault = () => fault
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver(cluster(server))
    const requests = await Promise.all(
      Array.from({ length: 5 }, async (_, index) => {
        const content = `${index}`.repeat(100)
        await push(
          registry.url,
          `acme/a${index}:v1`,
          artifact({ layers: [{ title: 'file', content }] }),
        )
        return node.request(`pod-${index}`, `${registry.host}/acme/a${index}:v1`)
      }),
    )
    for (const request of requests) await driver.csi.nodePublishVolume(request)
    await poll(() => server.calls.length > 0, WAIT)
    for (const request of requests) await driver.csi.nodeUnpublishVolume(request)
    expect(server.events()).toEqual([])
    driver.process.kill()
    expect(await driver.process.exited).toEqual({ code: 0, signal: null })
  },
)

test('the next driver goes on telling', async (context) => {
  skipUnless(context, why)
  await using server = await startApiImitation()
  await using registry = await startRegistry()
  await using node = await startNode(registry)
  for (const index of [1, 2]) {
    const content = `${index}`.repeat(2_048)
    const built = artifact({ layers: [{ title: 'file', content }] })
    await push(registry.url, `acme/a:v${index}`, built)
    await using driver = await node.startDriver(cluster(server))
    const request = await node.request('one', `${registry.host}/acme/a:v${index}`)
    await driver.csi.nodePublishVolume(request)
    await poll(() => pulled(server).length === index, WAIT)
    await driver.csi.nodeUnpublishVolume(request)
  }
  expect(new Set(pulled(server).map(({ metadata }) => metadata.name)).size).toBe(2)
})

test.for([
  { name: 'outside a cluster', args: [], message: 'events are off: no API server' },
  { name: 'by flag', args: ['--events=false'], message: 'events are off' },
])('are off $name, and the log says so', async ({ args, message }, context) => {
  skipUnless(context, why)
  await using node = await startNode()
  await using driver = await node.startDriver({ args })
  await driver.process.waitForLine(withMessage(message))
})
