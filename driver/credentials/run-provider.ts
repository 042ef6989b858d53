import { spawn } from 'node:child_process'
import { isSystemError } from '../../common/errors.ts'
import { MAX_RESPONSE_BYTES } from './provider-response.ts'
import { describeStderr } from './provider-stderr.ts'

/** How a provider is started. */
export interface ProviderProgram {
  readonly path: string
  readonly args: readonly string[]
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What became of a run: what it wrote, or why it is of no use. */
export type ProviderRun =
  | { readonly kind: 'answered'; readonly stdout: Uint8Array }
  /** `detail`: a line of its standard error, without what may be a secret; for the admin's log only. */
  | { readonly kind: 'failed'; readonly why: string; readonly detail: string | undefined }

/** The kubelet's. */
const TIMEOUT_MS = 60_000
/** A line is all that is shown; what went wrong is told at the end. */
const MAX_STDERR_BYTES = 16 * 1024
const STOPPING = 'the driver is stopping'
/** How long the pipes of a program that has ended, or hangs in the kernel, are waited for. */
const KILL_MS = 1_000

/**
 * Runs a provider: the request on its standard input, the answer on its standard output. Nothing secret is on its command line, and in its
 * environment is only what the admin put there.
 *
 * It is killed with all that it started when it takes too long, writes too much, or the signal fires. This never throws.
 */
export async function runProvider(
  program: ProviderProgram,
  request: string,
  { signal, timeoutMs = TIMEOUT_MS }: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<ProviderRun> {
  if (signal.aborted) return failed(STOPPING)
  const { promise, resolve } = Promise.withResolvers<ProviderRun>()
  const child = spawn(program.path, [...program.args], {
    env: { ...program.env },
    stdio: 'pipe',
    // A process group of its own, so that its children can be killed too.
    detached: true,
  })
  child.once('error', (error) => {
    resolve(failed(`cannot be run: ${isSystemError(error) ? error.code : 'unknown error'}`))
  })
  // Without a process there may be no pipes either.
  if (child.pid === undefined) return promise
  const stdout: Buffer[] = []
  let stdoutBytes = 0
  let stderr = Buffer.alloc(0)
  let killedFor: string | undefined

  const kill = (why: string) => {
    if (killedFor !== undefined) return
    killedFor = why
    // Once it has ended its number may be another's.
    if (child.exitCode === null && child.signalCode === null) killGroup(child.pid)
    setTimeout(() => end(child.exitCode, child.signalCode), KILL_MS).unref()
  }
  const end = (code: number | null, exitSignal: string | null) => {
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
    const why = killedFor ?? (exitSignal === null ? `exit code ${code}` : exitSignal)
    if (killedFor === undefined && code === 0) {
      resolve({ kind: 'answered', stdout: Buffer.concat(stdout) })
    } else resolve(failed(why, describeStderr(stderr, program.env)))
  }

  child.stdout.on('data', (chunk: Buffer) => {
    stdoutBytes += chunk.length
    if (stdoutBytes > MAX_RESPONSE_BYTES) kill(`more than ${MAX_RESPONSE_BYTES} bytes of answer`)
    else stdout.push(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = Buffer.concat([stderr, chunk]).subarray(-MAX_STDERR_BYTES)
  })
  // It may end without reading what it was asked.
  child.stdin.on('error', () => {})
  child.once('close', end)
  // A child of its own that lives on holds the pipes open.
  child.once('exit', (code, exitSignal) => setTimeout(() => end(code, exitSignal), KILL_MS).unref())

  const timer = setTimeout(() => kill(`no answer within ${timeoutMs / 1_000} s`), timeoutMs)
  const onAbort = () => kill(STOPPING)
  signal.addEventListener('abort', onAbort, { once: true })
  child.stdin.end(request)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

function failed(why: string, detail?: string): ProviderRun {
  return { kind: 'failed', why, detail }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // All of it has ended.
    if (!isSystemError(error, 'ESRCH')) throw error
  }
}
