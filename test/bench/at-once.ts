import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { median } from './measure.ts'
import { type Content, randomBlobs } from './pull/content.ts'
import { startMeasuredDriver } from './pull/measured-driver.ts'
import { type ServedContent, serveContent } from './pull/served-content.ts'
import { checkTree } from './pull/tree-check.ts'
import type { Row } from './row.ts'

const PODS = 50
const TABLE = `${PODS} first publishes at once`

/** Many pods of one artifact that arrive together, as those of a Job do, beside one that comes alone. */
export const AT_ONCE: readonly Benchmark[] = [
  { content: randomBlobs('64 MiB'), word: '64m' },
  { content: randomBlobs('512 MiB'), word: '512m' },
].map(({ content, word }) => ({
  words: ['publish', 'once', word],
  table: TABLE,
  what: content.what,
  measure: async (context) => [await measureAtOnce(content, context)],
}))

async function measureAtOnce(content: Content, context: BenchmarkContext): Promise<Row> {
  const why = await whyNoMounts()
  if (why !== undefined) throw new Error(`Cannot measure the driver: ${why}`)
  const { ground, rounds } = context
  await ground.require(content.bytes * 4)
  await using served = await serveContent(content, ground)
  const one: number[] = []
  const many: number[] = []
  const asked: number[] = []
  // The first round warms up.
  for (let round = 0; round <= rounds; round += 1) {
    const alone = await publishFirst(content, served, 1, context)
    const together = await publishFirst(content, served, PODS, context)
    if (round === 0) continue
    one.push(alone.seconds)
    many.push(together.seconds)
    asked.push(together.timesAsked)
  }
  const ratios = many.map((seconds, round) => seconds / (one[round] ?? Number.NaN))
  return {
    table: TABLE,
    what: content.what,
    figures: [
      { name: 'one s', value: median(one), samples: one },
      { name: 'all s', value: median(many), samples: many },
      { name: 'x of one', value: median(ratios), samples: ratios, atMost: 1.2 },
      { name: 'GETs of a blob', value: Math.max(...asked), atMost: 1, atLeast: 1 },
    ],
  }
}

/** By a driver that runs already, on an empty store. */
async function publishFirst(
  content: Content,
  served: ServedContent,
  pods: number,
  { env, ground }: BenchmarkContext,
): Promise<{ readonly seconds: number; readonly timesAsked: number }> {
  await using node = await startNode()
  await node.configure(served.host, `server = "http://${served.host}"`)
  await using directory = await ground.fresh('ours')
  await using driver = await startMeasuredDriver(node, { env, directory: directory.path })
  {
    await using _ = await driver.publish(`${served.host}/${served.warmUpName}`, pods)
  }
  await ground.settle()
  const [blob] = served.blobs
  if (blob === undefined) throw new Error('There is no blob')
  const before = served.timesAsked(blob)
  await using published = await driver.publish(`${served.host}/${served.name}`, pods)
  await checkTree(published.path, content)
  return { seconds: published.lap.seconds, timesAsked: served.timesAsked(blob) - before }
}
