import { type SpawnOptions, spawn } from 'node:child_process'

/** How a command is run. */
export interface CommandOptions {
  readonly cwd?: string
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Written to its standard input; without it there is none. */
  readonly input?: string
  /** It is killed after this; default two minutes. */
  readonly timeoutMs?: number
  /** Statuses that are no failure; default only 0. */
  readonly accept?: readonly number[]
}

/** What a command wrote, and how it ended. */
export interface CommandResult {
  readonly stdout: string
  readonly stderr: string
  readonly status: number
}

const DEFAULT_TIMEOUT_MS = 120_000

/**
 * Runs a command to its end, and gives its standard output.
 *
 * @throws when it fails or takes too long, with the command line and what it wrote in the message
 */
export async function run(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  return (await runToEnd(command, args, options)).stdout
}

/** The same, with both streams and the status: for those who accept other statuses than 0. */
export async function runToEnd(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, accept = [0] } = options
  const spawnOptions: SpawnOptions = {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    // biome-ignore lint/style/noProcessEnv: commands get the environment of whoever runs the harness
    env: { ...process.env, ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  }
  const child = spawn(command, [...args], spawnOptions)
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // A command that ends before it has read everything says why by its status.
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input)
  const ended = Promise.withResolvers<number>()
  child.once('error', ended.reject)
  child.once('close', (code, signal) => {
    if (code !== null) ended.resolve(code)
    else ended.reject(new Error(`ended with ${signal}, after at most ${timeoutMs} ms`))
  })
  const commandLine = [command, ...args].join(' ')
  try {
    const status = await ended.promise
    if (accept.includes(status)) return { stdout, stderr, status }
    throw new Error(`exit status ${status}`)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const said = `${stderr}${stdout}`.trim().slice(-MAX_SAID)
    throw new Error(`Cannot run "${commandLine}": ${why}\n${said}`, { cause: error })
  }
}

// The end of what a command wrote says why it failed.
const MAX_SAID = 4000
