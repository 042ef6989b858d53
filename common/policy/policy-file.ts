import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { CodedError, isCodedError, isSystemError, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { parsePolicy } from './parse-policy.ts'
import type { Policy } from './policy.ts'

/** A policy and the file that it stands in. */
export interface LoadedPolicy {
  readonly policy: Policy
  /** Of the file's bytes, 64 hex characters, as `sha256sum` prints it: tells whether two processes have the same. */
  readonly sha256: string
}

/** Follows a policy file. Disposal ends that. */
export interface PolicyFile extends AsyncDisposable {
  /** The last good one. */
  readonly current: LoadedPolicy
  readonly status: PolicyStatus
}

export interface PolicyStatus {
  /** Whether the file as it stands now is {@link PolicyFile.current}. */
  readonly isGood: boolean
  /** When {@link PolicyFile.current} was read from the file last, in milliseconds since 1970. */
  readonly loadedAtMs: number
}

/** Half of what a ConfigMap may hold; a thousand rules take a tenth of it. */
const MAX_FILE_BYTES = 512 * 1024
/** The kubelet brings a changed ConfigMap within a minute or so; reading a small file costs nothing beside that. */
const DEFAULT_INTERVAL_MS = 5_000
const START_HINT = '; put a policy there, or leave --policy-file out'

/**
 * Reads a policy file.
 *
 * @throws NOT_FOUND, INVALID naming the file, the line and what was expected
 */
export async function loadPolicy(path: string): Promise<LoadedPolicy> {
  return readPolicy(path, await readBytes(path))
}

/**
 * Reads the bytes of a policy file.
 *
 * @param name of the file, for messages
 * @throws INVALID naming the file, the line and what was expected
 */
export function readPolicy(name: string, bytes: Uint8Array): LoadedPolicy {
  const about = `Cannot use the policy file "${name}"`
  if (bytes.length > MAX_FILE_BYTES) {
    throw new CodedError('INVALID', `${about}: larger than ${MAX_FILE_BYTES} bytes`)
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return { policy: parsePolicy(text), sha256: sha256Of(bytes) }
  } catch (cause) {
    const why = isCodedError(cause) ? cause.message.replace(/^Invalid/, 'invalid') : 'not UTF-8'
    throw new CodedError('INVALID', `${about}: ${why}`, { cause })
  }
}

/**
 * Reads a policy file, and again every few seconds: that sees a replacement by any means, the swapped link of a ConfigMap as well, on any
 * file system. A file that is missing or wrong later on changes nothing: the last good one stays in force, the log says so once, and the
 * status until it is mended.
 *
 * @throws NOT_FOUND, INVALID as {@link loadPolicy}, saying what to do: an admin who asks for a policy never gets a process without one
 */
export async function startPolicyFile(options: {
  readonly path: string
  readonly log: Logger
  readonly intervalMs?: number
}): Promise<PolicyFile> {
  const { path, log, intervalMs = DEFAULT_INTERVAL_MS } = options
  let current = readPolicy(path, await readBytes(path, START_HINT))
  let loadedAtMs = Date.now()
  let problem: string | undefined
  log.info({ path, ...factsOf(current) }, 'policy loaded')

  const look = async () => {
    try {
      const bytes = await readBytes(path)
      const sha256 = sha256Of(bytes)
      if (sha256 !== current.sha256) {
        current = readPolicy(path, bytes)
        log.info({ path, ...factsOf(current) }, 'policy changed')
      } else if (problem !== undefined) {
        log.info({ path, sha256 }, 'the policy file is as it was')
      }
      loadedAtMs = Date.now()
      problem = undefined
    } catch (error) {
      const found = messageOf(error)
      if (found === problem) return
      problem = found
      log.error({ error, path, sha256: current.sha256 }, 'keeping the last good policy')
    }
  }
  let looking: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  const lookLater = () => {
    timer = setTimeout(() => {
      looking = look().then(lookLater)
    }, intervalMs).unref()
  }
  lookLater()

  return {
    get current() {
      return current
    },
    get status() {
      return { isGood: problem === undefined, loadedAtMs }
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer)
      await looking
      clearTimeout(timer)
    },
  }
}

function factsOf({ policy, sha256 }: LoadedPolicy) {
  return { sha256, rules: policy.rules.length, default: policy.default }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function readBytes(path: string, hint = ''): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    const isMissing = isSystemError(cause, 'ENOENT', 'ENOTDIR')
    const why = isMissing ? 'no such file' : isSystemError(cause) ? cause.code : 'unreadable'
    throw new CodedError(
      isMissing ? 'NOT_FOUND' : 'INVALID',
      `Cannot read the policy file "${path}": ${why}${hint}`,
      { cause },
    )
  }
}
