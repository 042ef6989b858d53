import { randomBytes } from 'node:crypto'
import { artifact, push } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { memoryMb, percentile, timed } from './measure.ts'
import type { Row } from './row.ts'

const STARTS = 5
const CACHED_PUBLISHES = 300
const AT_ONCE = 50
const ROUNDS = 3
const BLOB_BYTES = 64 * 1024 * 1024

const TABLE = 'Driver'

/** Publishing, starting, and the memory of the driver process. */
export const DRIVER: Benchmark = {
  words: ['driver', 'publish', 'start', 'memory'],
  table: TABLE,
  what: 'driver',
  measure: measureDriver,
}

async function measureDriver({ env }: BenchmarkContext): Promise<Row[]> {
  const why = await whyNoMounts()
  if (why !== undefined) throw new Error(`Cannot measure the driver: ${why}`)
  await using registry = await startRegistry()
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of ['one', 'many']) {
      // Each pull meets content that the node has not.
      const content = randomBytes(BLOB_BYTES)
      await push(
        registry.url,
        `bench/${name}:${round}`,
        artifact({ layers: [{ title: 'data', content }] }),
      )
    }
  }
  await using node = await startNode(registry)
  const reference = (name: string, round: number) => `${registry.host}/bench/${name}:${round}`

  const starts: number[] = []
  for (let start = 0; start < STARTS; start += 1) {
    let driver: TestDriver | undefined
    starts.push(
      await timed(async () => {
        driver = await node.startDriver({ env })
      }),
    )
    await driver?.[Symbol.asyncDispose]()
  }

  await using driver = await node.startDriver({ env })
  const idle = await memoryMb(driver.process.pid)

  const one: number[] = []
  const many: number[] = []
  const downloads: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    one.push(await publishAll(node, driver, reference('one', round), 1, `one-${round}`))
    const before = blobBytesSent(registry)
    many.push(await publishAll(node, driver, reference('many', round), AT_ONCE, `many-${round}`))
    downloads.push((blobBytesSent(registry) - before) / BLOB_BYTES)
  }

  const cached: number[] = []
  for (let pod = 0; pod < CACHED_PUBLISHES; pod += 1) {
    cached.push(await publishAll(node, driver, reference('one', 0), 1, `cached-${pod}`))
  }
  const { peak } = await memoryMb(driver.process.pid)

  return [
    {
      table: TABLE,
      what: 'publish of a cached volume',
      figures: [
        { name: 'p50 ms', value: percentile(cached, 0.5), atMost: 3 },
        { name: 'p99 ms', value: percentile(cached, 0.99), atMost: 15 },
      ],
    },
    {
      table: TABLE,
      what: 'first publish of 64 MiB',
      figures: [{ name: 'median ms', value: percentile(one, 0.5) }],
    },
    {
      table: TABLE,
      what: `${AT_ONCE} first publishes of it at once`,
      figures: [
        { name: 'median ms', value: percentile(many, 0.5) },
        // One, and a byte or two of an empty config.
        { name: 'times downloaded', value: Math.max(...downloads), atMost: 1.001 },
        { name: 'x of one', value: percentile(many, 0.5) / percentile(one, 0.5), atMost: 1.2 },
      ],
    },
    {
      table: TABLE,
      what: 'driver, start to registered',
      figures: [{ name: 'median ms', value: percentile(starts, 0.5), atMost: 700 }],
    },
    {
      table: TABLE,
      what: 'driver, resident memory',
      figures: [
        { name: 'idle MB', value: idle.now, atMost: 110 },
        { name: 'peak MB', value: peak, atMost: 200 },
      ],
    },
  ]
}

/** Publishes one artifact for so many pods at once, says how long that took, and unpublishes. */
async function publishAll(
  node: TestNode,
  { csi }: TestDriver,
  reference: string,
  count: number,
  name: string,
): Promise<number> {
  const requests = await Promise.all(
    Array.from({ length: count }, (_, pod) => node.request(`${name}-${pod}`, reference)),
  )
  const took = await timed(() =>
    Promise.all(requests.map((request) => csi.nodePublishVolume(request))),
  )
  await Promise.all(requests.map((request) => csi.nodeUnpublishVolume(request)))
  return took
}

/** How much of blobs the registry has sent so far. */
function blobBytesSent({ requests }: TestRegistry): number {
  const blobs = requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
  return blobs.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
}
