import { toCodedError } from './errors.ts'
import { type FlagTable, type FlagValues, oneOf, parseFlags } from './flags.ts'
import { type ProcessEdge, runUntilSignal } from './lifecycle.ts'
import { createLogger, LOG_LEVELS, type Logger } from './log.ts'

/** How a service is begun and what it may be told. */
export interface ServiceProgram<F extends FlagTable, T extends AsyncDisposable> {
  /** Of the program, e.g. `oras-csi-driver`: begins the help text, and every log line names it. */
  readonly name: string
  readonly flags: F
  readonly process: ProcessEdge & {
    readonly argv: readonly string[]
    readonly env: Readonly<Record<string, string | undefined>>
    readonly stdout: { write(text: string): unknown }
    readonly stderr: { write(text: string): unknown }
  }
  /** @param signal fires when the process is told to stop before the service runs */
  readonly start: (
    values: FlagValues<F>,
    edge: { readonly log: Logger; readonly signal: AbortSignal },
  ) => Promise<T>
  /** Resolves, with the reason, when the service itself finds that it cannot go on. */
  readonly failed?: (service: T) => Promise<unknown>
}

const LOG_LEVEL = {
  'log-level': {
    value: 'LEVEL',
    doc: LOG_LEVELS.join(', '),
    default: 'info',
    parse: oneOf(LOG_LEVELS),
  },
} as const

/**
 * Runs a service as a process: reads its flags (and `--log-level`), starts it, and stops it at a signal. A faulty command line ends the
 * process with exit code 2 and one line on standard error; `--help` with 0.
 */
export async function runService<const F extends FlagTable, T extends AsyncDisposable>(
  program: ServiceProgram<F, T>,
): Promise<void> {
  const { name, process } = program
  const parsed = readFlags(program)
  if (parsed.help) {
    process.stdout.write(parsed.text)
    return
  }
  const log = createLogger({ name, level: parsed.level })
  await runUntilSignal({
    process,
    log,
    start: (signal) => program.start(parsed.values, { log, signal }),
    ...(program.failed !== undefined && { failed: program.failed }),
  })
}

function readFlags<const F extends FlagTable, T extends AsyncDisposable>({
  name,
  flags,
  process,
}: ServiceProgram<F, T>) {
  const commandLine = { usage: `${name} [FLAGS]`, argv: process.argv.slice(2), env: process.env }
  try {
    const own = parseFlags({ ...commandLine, flags: { ...flags, ...LOG_LEVEL } })
    if (own.help) return own
    const { 'log-level': level, ...values } = own.values
    // TypeScript cannot see through the union of two tables of which one is generic.
    return {
      help: false as const,
      level: oneOf(LOG_LEVELS)(String(level)),
      values: values as unknown as FlagValues<F>,
    }
  } catch (error) {
    process.stderr.write(`${toCodedError(error).message}\n`)
    return process.exit(2)
  }
}
