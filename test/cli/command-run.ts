import type { Command } from '../../cli/command.ts'

/** What a command is run in. */
export interface RunSetting {
  /** Standard input. */
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly isTerminal?: boolean
}

/** What a command wrote, and its exit code. */
export interface CommandRun {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a command of `oras-csi` within this process. */
export async function runCommand(
  command: Command,
  args: readonly string[],
  { input = '', env = {}, isTerminal = false }: RunSetting = {},
): Promise<CommandRun> {
  const out: string[] = []
  const err: string[] = []
  const code = await command.run(args, {
    ...{ env, isTerminal, stderrIsTerminal: false },
    interrupted: new AbortController().signal,
    readStdin: async () => input,
    stdout: (text) => out.push(text),
    stderr: (text) => err.push(text),
  })
  return { code, out: out.join(''), err: err.join('') }
}
