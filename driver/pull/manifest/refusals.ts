import { CodedError, isCodedError } from '../../../common/errors.ts'

/** What registries refused a little while ago: who comes again with the same credentials for the same reference is told so without asking. */
export interface Refusals {
  /**
   * @param reference as it is written
   * @param who the caller's identities, in their order
   * @throws the refusal that is remembered, saying so and for how long
   */
  check(reference: string, who: readonly string[]): void

  /** Remembers an error if it is a refusal; any other is for the next call to meet anew. */
  note(reference: string, who: readonly string[], error: unknown): void

  /** Forgets what anybody was refused of a reference: somebody was just sent it. */
  clear(reference: string): void
}

/** The registry has no such thing, or does not give it to this caller. */
const REFUSALS = ['NOT_FOUND', 'UNAUTHENTICATED', 'DENIED'] as const

/** References come from pods, so they are many; the oldest goes. */
const MAX_REFERENCES = 1_000
/** Each pod may have a secret of its own. */
const MAX_CALLERS = 100

interface Refusal {
  readonly error: CodedError
  readonly untilMs: number
}

/**
 * Remembers refusals, each for one caller and reference: one pod's bad secret does not stop another pod, and fifty pods that crash and come
 * again do not hammer a registry.
 *
 * @param memoryMs for how long; 0 remembers nothing
 * @param now milliseconds
 */
export function createRefusals({
  memoryMs,
  now = Date.now,
}: {
  readonly memoryMs: number
  readonly now?: () => number
}): Refusals {
  const references = new Map<string, Map<string, Refusal>>()
  return {
    check(reference, who) {
      const refusal = references.get(reference)?.get(who.join(' '))
      if (refusal === undefined) return
      const leftMs = refusal.untilMs - now()
      // A clock that was set back must not make it last.
      if (leftMs <= 0 || leftMs > memoryMs) return
      throw new CodedError(
        refusal.error.code,
        `${refusal.error.message}; remembered, the registry is asked again in ${Math.ceil(leftMs / 1_000)} s`,
        { cause: refusal.error },
      )
    },
    note(reference, who, error) {
      if (!isCodedError(error, ...REFUSALS)) return
      const callers = references.get(reference) ?? new Map<string, Refusal>()
      references.delete(reference)
      references.set(reference, callers)
      const caller = who.join(' ')
      callers.delete(caller)
      callers.set(caller, { error, untilMs: now() + memoryMs })
      forgetOldest(callers, MAX_CALLERS)
      forgetOldest(references, MAX_REFERENCES)
    },
    clear: (reference) => void references.delete(reference),
  }
}

function forgetOldest(entries: Map<string, unknown>, most: number): void {
  const oldest = entries.keys().next().value
  if (entries.size > most && oldest !== undefined) entries.delete(oldest)
}

/** Answers whether an error concerns only who asked: another caller's credentials may do better. */
export function isRefusal(error: unknown): boolean {
  return isCodedError(error, ...REFUSALS)
}
