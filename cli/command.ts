import { type FlagTable, type FlagValues, parseFlags } from '../common/flags.ts'

/** What a command reads and writes; never the process itself, so that tests see all of it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Reads standard input to its end. */
  readonly readStdin: () => Promise<string>
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean
  /** Whether standard error, where progress goes, is one. */
  readonly stderrIsTerminal: boolean
  /** Fires on Ctrl-C and SIGTERM, so that a command can take back what it has begun. */
  readonly interrupted: AbortSignal
}

/** One subcommand of `oras-csi`. */
export interface Command {
  /** One line for the list of commands. */
  readonly summary: string
  /**
   * Runs it with the arguments after its name.
   *
   * @returns the exit code: 0, or 1 for a negative answer (what was looked at is not good)
   * @throws anything for what kept it from answering; `main.ts` writes the message and exits with 2
   */
  run(args: readonly string[], io: Io): Promise<number>
}

/** Makes a command of its flags and of what it does with them; `--help` is answered here. */
export function createCommand<const F extends FlagTable>(command: {
  readonly summary: string
  /** The first line of the help text, e.g. `oras-csi preview -f FILE [--diff]`. */
  readonly usage: string
  /** Stands below the flags in the help text: examples, and what else they do not say. */
  readonly about?: string
  readonly flags: F
  /** How many arguments without a dash are wanted, `some` for one or more; default 0. */
  readonly positionals?: number | 'some'
  readonly run: (values: FlagValues<F>, positionals: readonly string[], io: Io) => Promise<number>
}): Command {
  const { summary, usage, about, flags, positionals = 0 } = command
  return {
    summary,
    async run(args, io) {
      const parsed = parseFlags({ usage, flags, positionals, argv: args, env: io.env })
      if (!parsed.help) return command.run(parsed.values, parsed.positionals, io)
      io.stdout(about === undefined ? parsed.text : `${parsed.text}\n${about}\n`)
      return 0
    },
  }
}
