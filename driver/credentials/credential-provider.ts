import pLimit from 'p-limit'
import { toCodedError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import type { NodeCredential } from '../../common/oci/credential-candidates.ts'
import { ANONYMOUS, type Keyring } from '../../common/oci/credentials.ts'
import { RequestFailure } from '../../common/oci/request-failure.ts'
import { rejectOnAbort } from '../keyed-lock.ts'
import { createAnswerCache } from './answer-cache.ts'
import type { ProviderConfig } from './provider-config.ts'
import { formatProviderRequest, parseProviderResponse } from './provider-response.ts'
import type { ProviderRun } from './run-provider.ts'

/** A program that knows credentials, and what it has said lately. */
export interface CredentialProvider {
  /**
   * Finds what the program knows for a repository, running it unless an answer of before still counts. Who asks for the same at the same time
   * shares one run, which goes on when he leaves.
   *
   * @returns nothing for what the program is not asked about; one without credential, labelled with why, when it failed
   * @throws RequestFailure UNAVAILABLE when too many images wait for the program already
   * @throws the signal's reason
   */
  lookup(
    registry: string,
    repository: string,
    signal: AbortSignal,
  ): Promise<readonly NodeCredential[]>
}

/** What a run came to. */
interface Outcome {
  readonly keyring: Keyring
  /** Why it has no credentials to offer; undefined when it has answered. */
  readonly failure: string | undefined
}

export interface CredentialProviderOptions {
  readonly config: ProviderConfig
  /** Runs the program with what it is asked. */
  readonly run: (request: string) => Promise<ProviderRun>
  /** How often the program runs at once: pods name images freely, and each image may take a run. */
  readonly maxRuns: number
  /** How many images wait for a run; default 256. */
  readonly maxWaiting?: number
  readonly log: Pick<Logger, 'warn'>
  /** A clock that is never set back; default `performance.now`. */
  readonly nowMs?: () => number
}

/**
 * A pull is many requests, where the kubelet asks once a pull: an answer serves for so long whatever it says of itself, and a failure
 * too, so that one pull does not wait for a hanging program at each blob.
 */
const HOLD_MS = 10_000
/**
 * One for each pod of a full node. At half a second a run, more would wait longer than a kubelet does; and while a program hangs, what
 * pods name would pile up in memory.
 */
const MAX_WAITING = 256

export function createCredentialProvider(options: CredentialProviderOptions): CredentialProvider {
  const { config, run, log, maxRuns, nowMs = () => performance.now() } = options
  const { maxWaiting = MAX_WAITING } = options
  const label = `credential provider "${config.name}"`

  const turns = pLimit(maxRuns)

  const ask = async (image: string) => {
    if (turns.pendingCount >= maxWaiting) {
      throw new RequestFailure(
        'UNAVAILABLE',
        `${label} is busy: ${turns.pendingCount} other images wait for it; the next try asks it again`,
      )
    }
    const ended = await turns(() => run(formatProviderRequest(config, image)))
    if (ended.kind === 'failed') {
      const { why, detail } = ended
      log.warn({ provider: config.name, image, why, stderr: detail }, 'credential provider failed')
      return failedOutcome(why)
    }
    try {
      const {
        keyring,
        cacheKeyType,
        cacheMs = config.defaultCacheMs,
      } = parseProviderResponse(ended.stdout, config)
      const value: Outcome = { keyring, failure: undefined }
      return { value, scope: cacheKeyType, keepMs: Math.max(cacheMs, HOLD_MS) }
    } catch (error) {
      const why = toCodedError(error).message
      log.warn({ provider: config.name, image, why }, 'credential provider failed')
      return failedOutcome('an answer that cannot be used')
    }
  }
  const answers = createAnswerCache<Outcome>({ ask, nowMs })

  return {
    async lookup(registry, repository, signal) {
      if (!config.matchImages.some(({ matches }) => matches(registry, repository))) return []
      signal.throwIfAborted()
      const asked = answers.get(registry, repository)
      const { keyring, failure } = await rejectOnAbort(asked, signal)
      if (failure !== undefined) return [{ label: `${label} (${failure})`, credential: undefined }]
      const found = keyring.lookup(registry, repository)
      if (found.length === 0)
        return [{ label: `${label} (no answer for it)`, credential: undefined }]
      return found.map(({ credential }) => ({ label, credential }))
    },
  }
}

function failedOutcome(failure: string) {
  return { value: { keyring: ANONYMOUS, failure }, scope: 'failed', keepMs: HOLD_MS } as const
}
