import { randomBytes } from 'node:crypto'
import { artifact, push } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { memoryMb, percentile, timed } from './measure.ts'
import type { Row } from './row.ts'

const STARTS = 5
/** Of a process that has just started: V8 has compiled little of what a publish runs. */
const FIRST_PUBLISHES = 250
const WARM_UP_PUBLISHES = 500
const CACHED_PUBLISHES = 500
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
    // Each pull meets content that the node has not.
    const content = randomBytes(BLOB_BYTES)
    const layers = [{ title: 'data', content }]
    await push(registry.url, `bench/one:${round}`, artifact({ layers }))
  }
  await using node = await startNode(registry)
  const reference = (round: number) => `${registry.host}/bench/one:${round}`

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

  for (let round = 0; round < ROUNDS; round += 1) {
    await publishOne(node, driver, reference(round), `first-${round}`)
  }

  let pods = 0
  const publishCached = async (count: number) => {
    const took: number[] = []
    for (let index = 0; index < count; index += 1) {
      pods += 1
      took.push(await publishOne(node, driver, reference(0), `cached-${pods}`))
    }
    return took
  }
  const first = await publishCached(FIRST_PUBLISHES)
  await publishCached(WARM_UP_PUBLISHES - FIRST_PUBLISHES)
  const cached = await publishCached(CACHED_PUBLISHES)
  const { peak } = await memoryMb(driver.process.pid)

  return [
    {
      table: TABLE,
      what: `publish of a cached volume, the first ${FIRST_PUBLISHES} of a process`,
      figures: [
        { name: 'p50 ms', value: percentile(first, 0.5) },
        { name: 'p99 ms', value: percentile(first, 0.99) },
      ],
    },
    {
      table: TABLE,
      what: `publish of a cached volume, after ${WARM_UP_PUBLISHES}`,
      figures: [
        { name: 'p50 ms', value: percentile(cached, 0.5), atMost: 3 },
        { name: 'p99 ms', value: percentile(cached, 0.99), atMost: 15 },
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

/** Publishes an artifact for a pod, says how long that took, and unpublishes. */
async function publishOne(
  node: TestNode,
  { csi }: TestDriver,
  reference: string,
  name: string,
): Promise<number> {
  const request = await node.request(name, reference)
  const took = await timed(() => csi.nodePublishVolume(request))
  await csi.nodeUnpublishVolume(request)
  return took
}
