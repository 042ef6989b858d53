import type { SoakResult } from './soak.ts'

/** What every run must have done to prove anything. */
const EXPECTED = [
  'step: publish',
  'step: unpublish',
  'step: unpublish-unknown',
  'step: republish',
  'step: conflict',
  'step: move-tags',
  'step: abandon',
  'driver ended by SIGKILL',
  'publish: OK',
  'publish again: OK',
  'publish of something else: ALREADY_EXISTS',
  'unpublish: OK',
  'unpublish of the unknown: OK',
  'tags moved',
  'abandoned pods ended',
  'volumes right',
  'private volumes right',
  'store settled',
]

/** What takes a little longer to come about. */
const EXPECTED_OF_LONG = ['publish: UNAVAILABLE', 'evictions']
const LONG_SECONDS = 100

/** So many kinds of faults must have hit something. */
const MIN_FAULT_KINDS = { short: 1, long: 5 }

/** Names what a run of so many seconds did not do, which makes it worth nothing. */
export function missingIn(
  { tally }: Pick<SoakResult, 'tally'>,
  seconds: number,
): readonly string[] {
  const isLong = seconds >= LONG_SECONDS
  const expected = isLong ? [...EXPECTED, ...EXPECTED_OF_LONG] : EXPECTED
  const missing = expected.filter((name) => tally.count(name) === 0)
  const hit = tally.lines('fault: ').filter((line) => !line.endsWith(' 0'))
  const kinds = isLong ? MIN_FAULT_KINDS.long : MIN_FAULT_KINDS.short
  return hit.length < kinds ? [...missing, `${kinds} kinds of faults that hit`] : missing
}

/** Says what a run did, a line for each kind of thing. */
export function describeRun({ tally, steps, facts }: SoakResult): readonly string[] {
  const list = (title: string, prefix: string) =>
    `${title}: ${tally.lines(prefix).join(', ') || 'none'}`
  const range = (what: 'files' | 'sockets' | 'threads' | 'memoryMb') =>
    facts.map((one) => one[what]).join(' ')
  return [
    `${steps.storm} steps in the storm and ${steps.calm} in the calm`,
    list('Steps', 'step: '),
    list('Publish', 'publish: '),
    list('Publish again', 'publish again: '),
    list('Publish of something else', 'publish of something else: '),
    list('Unpublish', 'unpublish: '),
    list('After trouble', 'after trouble: '),
    list('Faults that hit', 'fault: '),
    list('Driver ended by', 'driver ended by '),
    list('Killed at', 'killed at '),
    list('Log', 'log: '),
    ...OTHERS.map((name) => `${name}: ${tally.count(name)}`),
    `The driver of the calm: files ${range('files')}; sockets ${range('sockets')}; threads ${range('threads')}; MB ${range('memoryMb')}`,
  ]
}

const OTHERS = [
  'tags moved',
  'pods abandoned',
  'abandoned pods ended',
  'evictions',
  'evicted things',
  'evicted MiB',
  'requests to the registry',
  'volumes right',
  'volumes right, unasked',
  'private volumes right',
  'files hashed',
  'store settled',
]
