import { join } from 'node:path'
import { buildGoProgram } from '../../peers/go-program.ts'
import type { TestNode } from '../../support/driver.ts'
import { whyNoProgram } from '../../support/skip-unless.ts'
import type { FreshDirectory, Ground } from '../ground.ts'
import type { Contestant } from '../race.ts'
import type { Stopwatch } from '../stopwatch.ts'
import type { Content } from './content.ts'
import { startMeasuredDriver } from './measured-driver.ts'
import type { ServedContent } from './served-content.ts'
import { checkTree } from './tree-check.ts'

/** What every contestant works on. */
export interface Course {
  readonly content: Content
  readonly served: ServedContent
  /** Where the registry is reached: itself, or a proxy before it. */
  readonly host: string
  readonly ground: Ground
  readonly stopwatch: Stopwatch
}

export const OURS = 'ours'
export const ORAS = 'oras'
export const ORAS_8 = 'oras -c 8'
export const ORAS_CLI = 'oras CLI'
export const FLOOR = 'floor'

/**
 * A driver that runs already, on an empty store: each lap has a process of its own, started before its time begins, that has pulled
 * something small of all kinds unless it is to be `cold`.
 */
export function driverContestant(
  course: Course,
  options: {
    readonly node: TestNode
    readonly env: Readonly<Record<string, string>>
    readonly isCold?: boolean
    /** Default {@link OURS}. */
    readonly name?: string
    /** How many ask for it at once; default one. */
    readonly pods?: number
  },
): Contestant {
  const { served, host, ground, content } = course
  const { name = OURS, pods = 1 } = options
  return {
    name,
    lap: async () => {
      await using directory = await ground.fresh('ours')
      await using driver = await startMeasuredDriver(options.node, {
        env: options.env,
        directory: directory.path,
      })
      if (options.isCold !== true) {
        await using _ = await driver.publish(`${host}/${served.warmUpName}`, pods)
      }
      await ground.settle()
      await using published = await driver.publish(`${host}/${served.name}`, pods)
      await checkTree(published.path, content)
      keepSmallFiles(content, directory)
      return published.lap
    },
  }
}

/** `oras pull`: as the program on its library, and as the CLI itself where that is installed. Each is a whole process. */
export async function orasContestants(
  course: Course,
  options: { readonly concurrent: boolean },
): Promise<Contestant[]> {
  const program = await buildGoProgram('oras-go')
  const hasCli = (await whyNoProgram('oras')) === undefined
  return [
    orasContestant(course, ORAS, program, []),
    ...(options.concurrent
      ? [orasContestant(course, ORAS_8, program, ['--concurrency', '8'])]
      : []),
    ...(hasCli ? [orasContestant(course, ORAS_CLI, 'oras', [])] : []),
  ]
}

function orasContestant(
  course: Course,
  name: string,
  program: string,
  flags: readonly string[],
): Contestant {
  const { host, served, ground, stopwatch, content } = course
  return {
    name,
    lap: async () => {
      await using directory = await ground.fresh('theirs')
      const lap = await stopwatch(program, [
        ...['pull', '--plain-http', ...flags],
        ...['--output', directory.path, `${host}/${served.name}`],
      ])
      await checkTree(directory.path, content)
      keepSmallFiles(content, directory)
      return lap
    },
  }
}

/** curl, which verifies nothing, to one file for each blob, eight at once. */
export function curlContestant(course: Course): Contestant {
  const { host, served, ground, stopwatch } = course
  return {
    name: FLOOR,
    lap: async () => {
      await using directory = await ground.fresh('curl')
      return await stopwatch('curl', [
        ...CURL,
        ...served.blobs.flatMap(({ path }, index) => [
          ...['--output', join(directory.path, String(index))],
          `http://${host}${path}`,
        ]),
      ])
    },
  }
}

/** curl with eight ranges of one blob at once, to eight files. */
export function curlRangesContestant(course: Course): Contestant {
  const { host, served, ground, stopwatch } = course
  return {
    name: FLOOR,
    lap: async () => {
      await using directory = await ground.fresh('curl')
      const [blob] = served.blobs
      if (blob === undefined) throw new Error('There is no blob')
      const size = Math.ceil(blob.size / RANGES)
      const ranges = Array.from({ length: RANGES }, (_, index) => [
        ...(index === 0 ? CURL : ['--next', ...CURL_EACH]),
        ...['--range', `${index * size}-${Math.min(blob.size, (index + 1) * size) - 1}`],
        ...['--output', join(directory.path, String(index)), `http://${host}${blob.path}`],
      ])
      return await stopwatch('curl', ranges.flat())
    },
  }
}

/** `curl | tar xz`, which verifies nothing. */
export function pipeContestant(course: Course): Contestant {
  const { host, served, ground, stopwatch, content } = course
  return {
    name: FLOOR,
    lap: async () => {
      await using directory = await ground.fresh('pipe')
      const [blob] = served.blobs
      const pipe =
        'set -o pipefail; curl --fail --silent "$1" | tar --extract --gzip --directory "$2"'
      const url = `http://${host}${blob?.path}`
      const lap = await stopwatch('bash', ['-c', pipe, 'bash', url, directory.path])
      await checkTree(directory.path, content)
      keepSmallFiles(content, directory)
      return lap
    },
  }
}

/** `gzip -dc` alone, of a file that holds the blob, to nowhere. */
export function gunzipContestant({ stopwatch }: Course, file: string): Contestant {
  return {
    name: FLOOR,
    // Not to /dev/null from here: the stopwatch throws away what it says.
    lap: () => stopwatch('gzip', ['--decompress', '--stdout', file]),
  }
}

const RANGES = 8
const CURL_EACH = ['--fail', '--silent', '--show-error']
const CURL = ['--parallel', '--parallel-immediate', '--parallel-max', String(RANGES), ...CURL_EACH]

/** Deleting many small files makes an ext4 without a journal slow for whoever comes next. */
function keepSmallFiles(content: Content, directory: FreshDirectory): void {
  if (content.files > MANY_FILES) directory.keep()
}

const MANY_FILES = 1_000
