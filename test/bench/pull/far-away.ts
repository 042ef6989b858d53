import { startNode } from '../../support/driver.ts'
import type { Benchmark, BenchmarkContext } from '../benchmark.ts'
import { median, timed } from '../measure.ts'
import { race, samplesOf } from '../race.ts'
import type { Figure, Row } from '../row.ts'
import { FAR_AWAY, startSlowLink } from '../slow-link.ts'
import { openStopwatch } from '../stopwatch.ts'
import { type Content, randomBlobs } from './content.ts'
import {
  type Course,
  curlContestant,
  curlRangesContestant,
  driverContestant,
  FLOOR,
  orasContestants,
} from './contestants.ts'
import { drain } from './drain.ts'
import { type PullBounds, pullFigures } from './pull-figures.ts'
import { serveContent } from './served-content.ts'

const ENTRIES: readonly { readonly content: Content; readonly bounds: PullBounds }[] = [
  { content: randomBlobs('512 MiB'), bounds: { minSpeedup: 4 } },
  { content: randomBlobs('16 MiB', 8), bounds: { minSpeedup: 1.5, againstConcurrent: false } },
]

const TABLE = `Cold pull behind a round trip of ${FAR_AWAY.rttMs} ms and ${FAR_AWAY.bytesPerSecond / 1e6} MB/s a connection`

/** Pulls from a registry far away; its speed is that of its connections, not that of the machine. */
export const FAR_AWAY_MATRIX: readonly Benchmark[] = ENTRIES.map(({ content, bounds }) => ({
  words: ['pull', 'far', content.word],
  table: TABLE,
  what: content.what,
  measure: async (context) => [await measurePull(content, bounds, context)],
}))

async function measurePull(
  content: Content,
  bounds: PullBounds,
  { env, rounds, ground }: BenchmarkContext,
): Promise<Row> {
  await ground.require(content.bytes * 4)
  await using served = await serveContent(content, ground)
  await using link = await startSlowLink(served.host)
  await using node = await startNode()
  await node.configure(link.host, `server = "http://${link.host}"`)
  const course: Course = {
    ...{ content, served, ground, host: link.host },
    stopwatch: await openStopwatch(),
  }
  const isSingle = content.blobs === 1
  const result = await race(
    [
      driverContestant(course, { node, env }),
      // A second connection is of no use to a single blob.
      ...(await orasContestants(course, { concurrent: !isSingle })),
      isSingle ? curlRangesContestant(course) : curlContestant(course),
    ],
    { rounds, warmUps: 0, between: ground.settle },
  )
  const floor = median(samplesOf(result, FLOOR, (lap) => lap.seconds))
  return {
    table: TABLE,
    what: `${content.what}; floor: curl, 8 ${isSingle ? 'ranges' : 'blobs'} at once`,
    // What eight connections bring is what the link is good for, as far as this machine can play it.
    figures: [
      ...pullFigures(result, bounds, floor),
      await linkRate(course),
      await linkRoundTrips(course),
    ],
  }
}

const MEGABYTE = 1e6
const RATE_PROBE_BYTES = 128 * MEGABYTE
// The best of them: it is the link that is looked at, not what else the machine does.
const RATE_PROBES = 3

/** Whether the link is what it says: what one connection of curl gets of it, its round trips included. */
async function linkRate({ stopwatch, served, host }: Course): Promise<Figure> {
  const [blob] = served.blobs
  const bytes = Math.min(RATE_PROBE_BYTES, blob?.size ?? 0)
  const tries: number[] = []
  for (let round = 0; round < RATE_PROBES; round += 1) {
    const { seconds } = await stopwatch('curl', [
      ...['--fail', '--silent', '--show-error', '--range', `0-${bytes - 1}`],
      ...['--output', '/dev/null', `http://${host}${blob?.path}`],
    ])
    tries.push(seconds)
  }
  const rate = FAR_AWAY.bytesPerSecond / MEGABYTE
  // Of a small blob the round trips and the start of curl take their part.
  return {
    name: 'one connection MB/s',
    value: bytes / MEGABYTE / (Math.min(...tries) - (2 * FAR_AWAY.rttMs) / 1_000),
    atLeast: rate * 0.9,
    atMost: rate * 1.02,
  }
}

/** Whether it is as far away: a connection and an answer are two round trips. */
async function linkRoundTrips({ host }: Course): Promise<Figure> {
  const value = await timed(() => drain(host, '/v2/', 0))
  return {
    name: 'two round trips ms',
    value,
    atLeast: 2 * FAR_AWAY.rttMs,
    atMost: 3 * FAR_AWAY.rttMs,
  }
}
