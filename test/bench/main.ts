import { writeFile } from 'node:fs/promises'
import process from 'node:process'
import { toCodedError } from '../../common/errors.ts'
import { bool, integer, parseFlags, text } from '../../common/flags.ts'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { AT_ONCE } from './at-once.ts'
import { type Benchmark, runAll, select } from './benchmark.ts'
import { DRIVER } from './driver.ts'
import { EVICTION } from './eviction.ts'
import { openGround } from './ground.ts'
import { imageEnvironment } from './image-environment.ts'
import { describeMachine, formatMachine } from './machine.ts'
import { FAR_AWAY_MATRIX } from './pull/far-away.ts'
import { IDLE_MEMORY } from './pull/idle-memory.ts'
import { MATRIX } from './pull/matrix.ts'
import { metered } from './pull/measured-driver.ts'
import { RESUME } from './pull/resume.ts'
import { missed } from './row.ts'
import { formatTables } from './table.ts'
import { VIEWS } from './views.ts'
import { WEBHOOK } from './webhook.ts'

const BENCHMARKS: readonly Benchmark[] = [
  DRIVER,
  ...AT_ONCE,
  ...MATRIX,
  ...FAR_AWAY_MATRIX,
  RESUME,
  IDLE_MEMORY,
  VIEWS,
  EVICTION,
  WEBHOOK,
]

const USAGE = 'npm run bench -- [WORD...] [FLAGS]'

const FLAGS = {
  check: { doc: 'exit with 1 when a figure misses its bound', parse: bool },
  json: { value: 'FILE', doc: 'write machine and rows as JSON, too', default: '', parse: text },
  rounds: {
    value: 'COUNT',
    doc: 'how often each contestant pulls',
    default: '5',
    parse: integer(1, 100),
  },
  large: { doc: 'pull 2 GiB, too', parse: bool },
  list: { doc: 'print the words of each benchmark, and measure nothing', parse: bool },
  directory: {
    value: 'DIRECTORY',
    doc: 'where is written what is measured: it names the disk',
    default: '/var/tmp',
    parse: text,
  },
} as const

// What the tables cannot say by themselves.
const NOTES = `Medians, in brackets the spread. In each round all run in turn, on fresh directories; before each, what waits is written to the disk.
The registry is Debian's docker-registry, on the same disk, warm. Ours: a driver process that has pulled before, on an empty store,
from the gRPC call to its answer. oras: a Go program on its library that does what \`oras pull\` does, a whole process, its start
(see 1 KiB) included. Ratios: medians of those of each round. Floors verify nothing. Ceiling: the slowest of hashing, receiving and
writing, each alone, or who was faster; behind the slow link, the floor. Memory: the most of all rounds. Event loop: how late its
timers were during the pull, the maximum of all rounds.`

try {
  await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : toCodedError(error).message}\n`)
  process.exitCode = 2
}

/** Measures what the words select, and prints what was measured against what must be reached. */
async function main(): Promise<void> {
  const { words, argv } = splitWords(process.argv.slice(2))
  const flags = parseFlags({ usage: USAGE, flags: FLAGS, argv, env: process.env })
  if (flags.help) {
    process.stdout.write(flags.text)
    return
  }
  const { check, json, rounds, large, list, directory } = flags.values
  const selected = select(BENCHMARKS, words, { large })
  if (list) {
    for (const benchmark of selected) process.stdout.write(`${describe(benchmark)}\n`)
    return
  }
  await using cache = await temporaryDirectory()
  await using ground = await openGround(directory)
  const env = { ...imageEnvironment(), NODE_COMPILE_CACHE: cache.path }
  await fillCompileCache(env)
  const machine = await describeMachine(ground.path)
  const rows = await runAll(selected, { env, rounds, ground }, (benchmark, seconds) => {
    process.stderr.write(`${describe(benchmark)}: ${Math.round(seconds)} s\n`)
  })
  process.stdout.write(`${formatMachine(machine)}\n\n${formatTables(rows)}\n\n${NOTES}\n`)
  if (json !== '') {
    await writeFile(json, `${JSON.stringify({ machine, rounds, rows }, null, 2)}\n`)
  }
  const misses = missed(rows)
  if (misses.length > 0) process.stdout.write(`\nMissed:\n${misses.join('\n')}\n`)
  if (check && misses.length > 0) process.exitCode = 1
}

/** The words come first: a word further on could be the value of a flag. */
function splitWords(argv: readonly string[]): { words: string[]; argv: string[] } {
  const firstFlag = argv.findIndex((argument) => argument.startsWith('-'))
  const end = firstFlag < 0 ? argv.length : firstFlag
  return { words: argv.slice(0, end), argv: argv.slice(end) }
}

function describe({ words, what }: Benchmark): string {
  return `${words.join(' ')}: ${what}`
}

/**
 * As the image's build does: Node writes its cache when a process ends by itself. The meter belongs to it, or a driver would load
 * Node's TypeScript parser for it alone, which takes 25 MB.
 */
async function fillCompileCache(env: Readonly<Record<string, string>>): Promise<void> {
  const loads = [
    ['driver/main.ts', '--help'],
    ['driver/compile-cache.ts'],
    ['webhook/main.ts', '--help'],
  ]
  for (const args of loads) {
    await using load = startProcess({ args, env: metered(env) })
    await load.exited
  }
}
