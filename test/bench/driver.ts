import { randomBytes } from 'node:crypto'
import { artifact, push } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { memoryMb, percentile, type Row, timed } from './measure.ts'

const STARTS = 5
const CACHED_PUBLISHES = 300
const AT_ONCE = 50
const ROUNDS = 3
const MEBIBYTE = 1024 * 1024

/** Publishing, starting, and the memory of the driver process. */
export async function measureDriver(env: Readonly<Record<string, string>>): Promise<Row[]> {
  const why = await whyNoMounts()
  if (why !== undefined) throw new Error(`Cannot measure the driver: ${why}`)
  await using registry = await startRegistry()
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of ['one', 'many']) {
      // Each pull meets content that the node has not.
      const content = randomBytes(64 * MEBIBYTE)
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
  for (let round = 0; round < ROUNDS; round += 1) {
    one.push(await publishAll(node, driver, reference('one', round), 1, `one-${round}`))
    many.push(await publishAll(node, driver, reference('many', round), AT_ONCE, `many-${round}`))
  }

  const cached: number[] = []
  for (let pod = 0; pod < CACHED_PUBLISHES; pod += 1) {
    cached.push(await publishAll(node, driver, reference('one', 0), 1, `cached-${pod}`))
  }
  const { peak } = await memoryMb(driver.process.pid)

  return [
    {
      what: 'publish of a cached volume',
      values: { 'p50 ms': percentile(cached, 0.5), 'p99 ms': percentile(cached, 0.99) },
      atMost: { 'p50 ms': 3, 'p99 ms': 15 },
    },
    {
      what: 'first publish of 64 MiB',
      values: { 'median ms': percentile(one, 0.5) },
      atMost: {},
    },
    {
      what: `${AT_ONCE} first publishes of it at once`,
      values: {
        'median ms': percentile(many, 0.5),
        'x of one': percentile(many, 0.5) / percentile(one, 0.5),
      },
      atMost: { 'x of one': 1.2 },
    },
    {
      what: 'driver, start to registered',
      values: { 'median ms': percentile(starts, 0.5) },
      atMost: { 'median ms': 700 },
    },
    {
      what: 'driver, resident memory',
      values: { 'idle MB': idle.now, 'peak MB': peak },
      atMost: { 'idle MB': 110, 'peak MB': 200 },
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
