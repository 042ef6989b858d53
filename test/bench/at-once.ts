import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { type Content, randomBlobs } from './pull/content.ts'
import { type Course, driverContestant } from './pull/contestants.ts'
import { medianFigure, ratios } from './pull/pull-figures.ts'
import { serveContent } from './pull/served-content.ts'
import { race, samplesOf } from './race.ts'
import type { Row } from './row.ts'
import { openStopwatch } from './stopwatch.ts'

const PODS = 50
const WARM_UPS = 1
const ONE = 'one'
const ALL = 'all'
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

async function measureAtOnce(content: Content, { env, ground, rounds }: BenchmarkContext) {
  const why = await whyNoMounts()
  if (why !== undefined) throw new Error(`Cannot measure the driver: ${why}`)
  await ground.require(content.bytes * 4)
  await using served = await serveContent(content, ground)
  await using node = await startNode()
  await node.configure(served.host, `server = "http://${served.host}"`)
  const course: Course = {
    ...{ content, served, ground, host: served.host },
    stopwatch: await openStopwatch(),
  }
  const [blob] = served.blobs
  if (blob === undefined) throw new Error('There is no blob')
  const askedBefore = served.timesAsked(blob)
  const contestants = [
    driverContestant(course, { node, env, name: ONE }),
    driverContestant(course, { node, env, name: ALL, pods: PODS }),
  ]
  const result = await race(contestants, { rounds, warmUps: WARM_UPS, between: ground.settle })
  const laps = contestants.length * (WARM_UPS + rounds)
  const seconds = (name: string) => samplesOf(result, name, (lap) => lap.seconds)
  const [one, all] = [seconds(ONE), seconds(ALL)]
  return {
    table: TABLE,
    what: content.what,
    figures: [
      medianFigure('one s', one),
      medianFigure('all s', all),
      { ...medianFigure('x of one', ratios(all, one)), atMost: 1.2 },
      // No lap can do without one: with one each, none had two.
      {
        ...{ name: 'GETs of a blob', value: (served.timesAsked(blob) - askedBefore) / laps },
        ...{ atMost: 1, atLeast: 1 },
      },
    ],
  } satisfies Row
}
