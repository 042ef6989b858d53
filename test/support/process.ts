import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** One line that a process wrote. */
export interface OutputLine {
  readonly stream: 'stdout' | 'stderr'
  readonly text: string
  /** The line parsed, when it is a JSON object, as every log line of ours is. */
  readonly json: Readonly<Record<string, unknown>> | undefined
}

/** How a process ended: one of the two is not null. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that runs. Disposing kills it (SIGKILL) and waits for its end. */
export interface ChildProcess extends AsyncDisposable {
  readonly pid: number
  /** All lines so far. */
  readonly lines: readonly OutputLine[]
  /** Resolves when it has ended and its output is complete. */
  readonly exited: Promise<Exit>
  /** All output so far as one text, for messages. */
  output(): string
  /**
   * Resolves with the first line, of those written already and those to come, that `wanted` accepts.
   *
   * @throws when the process ends first or after `deadlineMs`, with all output in the message
   */
  waitForLine(wanted: (line: OutputLine) => boolean, deadlineMs?: number): Promise<OutputLine>
  /** Sends a signal; default SIGTERM. */
  kill(signal?: NodeJS.Signals): void
}

export interface ProcessOptions {
  /** The script, e.g. `webhook/main.ts` (relative to the working directory), then its arguments. */
  readonly args: readonly string[]
  /** Added to a minimal environment (PATH); nothing else of the test's is passed on. */
  readonly env?: Readonly<Record<string, string>>
  /** Default the checkout. */
  readonly cwd?: string
  /** What runs `args`; default this Node. */
  readonly command?: string
  /** Flags of Node before the script, e.g. `["--expose-gc"]`. */
  readonly nodeFlags?: readonly string[]
}

// A main.ts is up in less than a second; two busy cores stretch that.
const DEFAULT_DEADLINE_MS = 60_000

/** Starts a process, as a rule one of our `main.ts` files as it is: no loader, no transpiler. */
export function startProcess(options: ProcessOptions): ChildProcess {
  const { command = process.execPath, nodeFlags = [], cwd = CHECKOUT } = options
  const child = spawn(command, [...nodeFlags, ...options.args], {
    cwd,
    // biome-ignore lint/style/noProcessEnv: the search path is the process's own
    env: { PATH: process.env['PATH'] ?? '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: OutputLine[] = []
  const listeners = new Set<(line: OutputLine) => void>()
  for (const stream of ['stdout', 'stderr'] as const) {
    createInterface({ input: child[stream] }).on('line', (text) => {
      const line = { stream, text, json: parseObject(text) }
      lines.push(line)
      for (const listener of [...listeners]) listener(line)
    })
  }
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
    child.once('error', (error) => {
      lines.push({ stream: 'stderr', text: String(error), json: undefined })
      resolve({ code: null, signal: null })
    })
  })
  const output = () => lines.map(({ stream, text }) => `${stream}: ${text}`).join('\n')
  return {
    pid: child.pid ?? 0,
    lines,
    exited,
    output,
    waitForLine: (wanted, deadlineMs = DEFAULT_DEADLINE_MS) =>
      new Promise((resolve, reject) => {
        const settle = (): void => {
          clearTimeout(timer)
          listeners.delete(listener)
        }
        const fail = (why: string): void => {
          settle()
          reject(new Error(`${why}; output of ${options.args[0]}:\n${output()}`))
        }
        const listener = (line: OutputLine): void => {
          if (!wanted(line)) return
          settle()
          resolve(line)
        }
        const timer = setTimeout(() => fail(`No such line within ${deadlineMs} ms`), deadlineMs)
        listeners.add(listener)
        lines.find((line) => {
          listener(line)
          return !listeners.has(listener)
        })
        void exited.then(({ code, signal }) => {
          if (listeners.has(listener)) fail(`Ended with ${signal ?? `exit code ${code}`}`)
        })
      }),
    kill: (signal = 'SIGTERM') => {
      child.kill(signal)
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Accepts a log line by its message, e.g. `withMessage('serving')`. */
export function withMessage(message: string | RegExp): (line: OutputLine) => boolean {
  return ({ json }) => {
    const text = json?.['msg']
    if (typeof text !== 'string') return false
    return typeof message === 'string' ? text === message : message.test(text)
  }
}

const CHECKOUT = new URL('../..', import.meta.url).pathname

function parseObject(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    // A line that only looks like JSON is still there as text.
    return undefined
  }
}
