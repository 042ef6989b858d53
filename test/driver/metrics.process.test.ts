import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import { request } from 'undici'
import { expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { type Family, sampleOf, scrape } from '../support/metrics.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { tarOf } from '../support/tar.ts'

const why = await whyNoMounts()
const whyNoPromtool = await whyNoProgram('promtool')
const CONTENT = 'x'.repeat(1_000)

test('/metrics tells what happens: a pull, a hit, a mount, an error, an eviction', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/a:v1', artifact({ layers: [{ title: 'file', content: CONTENT }] }))
  const archive = gzipSync(tarOf([{ path: 'unpacked', content: 'y'.repeat(500) }]))
  await push(registry.url, 'acme/b:v1', artifact({ layers: [{ content: archive }] }))
  await using node = await startNode(registry)
  await using driver = await node.startDriver({
    args: ['--eviction-interval=100ms', '--eviction-min-age=0ms', '--max-store-bytes=1200'],
  })
  let families = await scrape(driver.healthUrl)
  const values = (...names: string[]) =>
    Object.fromEntries(names.map((name) => [name, sampleOf(families, name)]))
  expect(
    values('oras_csi_leases', 'oras_csi_mounts', 'oras_csi_cache_requests_total{result="hit"}'),
  ).toEqual({
    oras_csi_leases: 0,
    oras_csi_mounts: 0,
    'oras_csi_cache_requests_total{result="hit"}': 0,
  })

  // A pull and a hit.
  const [one, two, none] = await Promise.all([
    node.request('one', `${registry.host}/acme/a:v1`),
    node.request('two', `${registry.host}/acme/a:v1`),
    node.request('none', `${registry.host}/acme/none:v1`),
  ])
  await driver.csi.nodePublishVolume(one)
  await driver.csi.nodePublishVolume(two)
  await expect(driver.csi.nodePublishVolume(none)).rejects.toThrow('NOT_FOUND')
  families = await scrape(driver.healthUrl)
  expect(
    values(
      ...[
        'oras_csi_trees',
        'oras_csi_blobs',
        'oras_csi_views',
        'oras_csi_leases',
        'oras_csi_mounts',
      ],
      'oras_csi_store_bytes{kind="blobs"}',
      'oras_csi_store_bytes{kind="trees"}',
      'oras_csi_cache_requests_total{result="hit"}',
      'oras_csi_cache_requests_total{result="miss"}',
      'oras_csi_publish_duration_seconds_count{code="OK"}',
      'oras_csi_publish_duration_seconds_count{code="NOT_FOUND"}',
      'oras_csi_pull_duration_seconds_count{code="OK"}',
      'oras_csi_pulled_bytes_total',
    ),
  ).toEqual({
    ...{ oras_csi_trees: 1, oras_csi_blobs: 1, oras_csi_views: 0 },
    ...{ oras_csi_leases: 2, oras_csi_mounts: 2 },
    'oras_csi_store_bytes{kind="blobs"}': 1_000,
    'oras_csi_store_bytes{kind="trees"}': 0,
    'oras_csi_cache_requests_total{result="hit"}': 1,
    'oras_csi_cache_requests_total{result="miss"}': 1,
    'oras_csi_publish_duration_seconds_count{code="OK"}': 2,
    'oras_csi_publish_duration_seconds_count{code="NOT_FOUND"}': 1,
    'oras_csi_pull_duration_seconds_count{code="OK"}': 1,
    oras_csi_pulled_bytes_total: 1_000,
  })

  // An eviction, when the volumes have ended and there is more than may be.
  await driver.csi.nodeUnpublishVolume(one)
  await driver.csi.nodeUnpublishVolume(two)
  const other = await node.request('other', `${registry.host}/acme/b:v1`)
  await driver.csi.nodePublishVolume(other)
  families = await poll(
    async () => {
      const found = await scrape(driver.healthUrl)
      return sampleOf(found, 'oras_csi_trees') === 1 && found
    },
    { deadlineMs: 10_000, what: 'an eviction' },
  )
  const reason = 'max-store-bytes'
  expect(
    values(
      'oras_csi_leases',
      'oras_csi_unpublish_duration_seconds_count{code="OK"}',
      `oras_csi_evictions_total{kind="tree",reason="${reason}"}`,
      `oras_csi_eviction_unreachable{goal="${reason}"}`,
      'oras_csi_store_bytes{kind="trees"}',
    ),
  ).toEqual({
    oras_csi_leases: 1,
    'oras_csi_unpublish_duration_seconds_count{code="OK"}': 2,
    [`oras_csi_evictions_total{kind="tree",reason="${reason}"}`]: 1,
    [`oras_csi_eviction_unreachable{goal="${reason}"}`]: 0,
    'oras_csi_store_bytes{kind="trees"}': 500,
  })
  expect(sampleOf(families, 'process_resident_memory_bytes')).toBeGreaterThan(20 * 1024 ** 2)
  expect(unsafeLabels(families)).toEqual([])
  await driver.csi.nodeUnpublishVolume(other)
})

test('promtool finds nothing wrong with it', async (context) => {
  skipUnless(context, why)
  skipUnless(context, whyNoPromtool)
  await using node = await startNode()
  await using driver = await node.startDriver()
  const { body } = await request(`${driver.healthUrl}/metrics`)
  const promtool = spawn('promtool', ['check', 'metrics'])
  let said = ''
  for (const stream of [promtool.stdout, promtool.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
  }
  promtool.stdin.end(await body.text())
  const [code] = await once(promtool, 'close')
  expect({ code, said }).toEqual({ code: 0, said: '' })
})

/** Labels whose values are not of a few: references, namespaces and pods would make a series each. */
function unsafeLabels(families: ReadonlyMap<string, Family>): readonly string[] {
  const known = ['code', 'goal', 'kind', 'le', 'node', 'reason', 'result', 'version']
  const labels = [...families.values()].flatMap(({ samples }) =>
    [...samples.keys()].flatMap((sample) =>
      [...sample.matchAll(/[{,]([a-z_]+)="/g)].map(([, label = '']) => label),
    ),
  )
  return [...new Set(labels)].filter((label) => !known.includes(label)).sort()
}
