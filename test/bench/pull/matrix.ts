import { join } from 'node:path'
import { run } from '../../support/command.ts'
import { startNode } from '../../support/driver.ts'
import { whyNoMounts } from '../../support/mounts.ts'
import type { Benchmark, BenchmarkContext } from '../benchmark.ts'
import { race } from '../race.ts'
import type { Row } from '../row.ts'
import { openStopwatch } from '../stopwatch.ts'
import { ceilingContestants, ceilingSeconds } from './ceilings.ts'
import { type Content, largeFiles, randomBlobs, smallFiles } from './content.ts'
import {
  type Course,
  curlContestant,
  driverContestant,
  FLOOR,
  gunzipContestant,
  ORAS,
  ORAS_8,
  ORAS_CLI,
  orasContestants,
  pipeContestant,
} from './contestants.ts'
import { NEVER_SLOWER, type PullBounds, pullFigures } from './pull-figures.ts'
import { serveContent } from './served-content.ts'

/** One line of the matrix. */
interface Entry {
  readonly content: Content
  readonly bounds: PullBounds
  /** Who verifies nothing. */
  readonly floor: 'curl' | 'curl | tar xz' | 'gzip -dc'
  /** Default false: the driver has pulled before. */
  readonly isCold?: boolean
  readonly word?: string
  readonly what?: string
  readonly only?: 'large'
}

const NOT_SLOWER = { minSpeedup: 1 / NEVER_SLOWER }
const FASTER = { minSpeedup: 1.3 }

const ENTRIES: readonly Entry[] = [
  {
    ...{ content: randomBlobs('1 KiB'), floor: 'curl', bounds: {} },
    what: '1 KiB (what every pull costs)',
  },
  { content: randomBlobs('8 MiB'), floor: 'curl', bounds: NOT_SLOWER },
  {
    ...{ content: randomBlobs('8 MiB'), floor: 'curl', bounds: {}, isCold: true },
    ...{ word: 'first', what: "8 MiB, the driver's first pull" },
  },
  { content: randomBlobs('64 MiB'), floor: 'curl', bounds: NOT_SLOWER },
  { content: randomBlobs('512 MiB'), floor: 'curl', bounds: FASTER },
  { content: randomBlobs('1 GiB'), floor: 'curl', bounds: FASTER },
  { content: randomBlobs('2 GiB'), floor: 'curl', bounds: FASTER, only: 'large' },
  { content: randomBlobs('16 MiB', 8), floor: 'curl', bounds: FASTER },
  { content: randomBlobs('64 MiB', 8), floor: 'curl', bounds: FASTER },
  { content: randomBlobs('64 MiB', 16), floor: 'curl', bounds: FASTER },
  {
    ...{ content: smallFiles(), floor: 'curl | tar xz' },
    bounds: { minSpeedup: 2, maxOfFloor: 1.2 },
  },
  {
    ...{ content: largeFiles(), floor: 'gzip -dc' },
    bounds: { minSpeedup: 2, maxOfFloor: NEVER_SLOWER },
  },
]

const TABLE = 'Cold pull, fast link'

/** The matrix of performance: every content, by us, by oras and by who verifies nothing. */
export const MATRIX: readonly Benchmark[] = ENTRIES.map((entry) => {
  const what = entry.what ?? entry.content.what
  return {
    words: ['pull', 'fast', entry.word ?? entry.content.word],
    ...(entry.only !== undefined && { only: entry.only }),
    table: TABLE,
    what,
    measure: async (context) => [await measurePull({ ...entry, what }, context)],
  }
})

async function measurePull(
  { content, bounds, floor, isCold = false, what }: Entry & { readonly what: string },
  { env, rounds, ground }: BenchmarkContext,
): Promise<Row> {
  const why = await whyNoMounts()
  if (why !== undefined) throw new Error(`Cannot measure the driver: ${why}`)
  // The source, or a pull; the registry's copy; and what is unpacked beside its blob.
  await ground.require(content.bytes * 4)
  await using served = await serveContent(content, ground)
  await using node = await startNode()
  await node.configure(served.host, `server = "http://${served.host}"`)
  await using scratch = await ground.fresh('blob')
  const course: Course = {
    ...{ content, served, ground, host: served.host },
    stopwatch: await openStopwatch(),
  }
  const floors = {
    curl: () => curlContestant(course),
    'curl | tar xz': () => pipeContestant(course),
    'gzip -dc': () => gunzipContestant(course, join(scratch.path, 'blob')),
  }
  const [blob] = served.blobs
  if (floor === 'gzip -dc') {
    const output = ['--output', join(scratch.path, 'blob')]
    await run('curl', ['--fail', '--silent', ...output, `http://${served.host}${blob?.path}`])
  }
  const result = await race(
    [
      driverContestant(course, { node, env, isCold }),
      ...(await orasContestants(course, { concurrent: !content.isArchive })),
      floors[floor](),
      ...ceilingContestants(content, served, ground),
    ],
    { rounds, warmUps: 1, between: ground.settle },
  )
  // gzip writes nothing to the disk.
  const writers = [ORAS, ORAS_8, ORAS_CLI, ...(floor === 'gzip -dc' ? [] : [FLOOR])]
  return {
    table: TABLE,
    what: `${what}; floor: ${floor}`,
    figures: pullFigures(result, bounds, ceilingSeconds(result, writers)),
  }
}
