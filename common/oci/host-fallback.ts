import { CodedError } from '../errors.ts'
import type { CallOptions } from './artifact-source.ts'
import type { BlobRoute } from './blob-route.ts'
import { nameOfHost } from './host-name.ts'
import type { Host, Hosts } from './hosts.ts'
import { formatReference, type Reference } from './reference.ts'
import { RequestFailure } from './request-failure.ts'
import { type RetryOptions, withRetry } from './retry.ts'
import type { Silence } from './silence.ts'
import { subjectOf } from './subject.ts'

/** Where the client writes what it does; pino's loggers fit. */
export interface RegistryLog {
  debug(fields: object, message: string): void
  /** Hears of what an admin should look at: a host that sends other bytes than it should. */
  warn?(fields: object, message: string): void
}

/** A question to the hosts of a registry. */
export interface HostQuestion extends CallOptions {
  readonly reference: Reference
  /** What a host must be capable of. */
  readonly needs: 'pull' | 'resolve'
  /** Requests at most to one host. */
  readonly attempts?: number | undefined
  /** Hears of each failure that is tried again. */
  readonly onRetry?: ((failure: RequestFailure) => void) | undefined
  readonly route?: BlobRoute | undefined
  /** Where the part of the blob begins that is asked for. */
  readonly start?: number
}

/** Goes through the hosts of a registry until one has what is asked for. */
export interface HostFallback {
  /**
   * @param attempt asks one host; made again after a failure that may pass
   * @throws CodedError naming the reference, what the last host answered, and what each other one did
   * @throws the signal's reason
   */
  ask<T>(question: HostQuestion, attempt: (host: Host) => Promise<T>): Promise<T>
}

/** There is another host to ask: a pod waits. */
const MIRROR_ATTEMPTS = 2
/** A mirror that wants more is left alone. */
const MAX_MIRROR_WAIT_MS = 1_000
/** A mirror to which no connection comes about is asked last for this long: each try may cost a dial time-out. */
const REST_MS = 10_000
const MAX_RESTING = 1000

interface HostFailure {
  readonly host: Host
  readonly failure: RequestFailure
}

/**
 * Asks mirrors in their order and at last the server. A mirror is given up after any failure, soon; only the host that stands last is asked
 * for longer.
 */
export function createHostFallback({
  hosts,
  retry,
  silence,
  nowMs,
  log,
}: {
  readonly hosts: Hosts
  readonly retry: Omit<RetryOptions, 'onRetry' | 'isWorthIt'> | undefined
  readonly silence: Silence
  readonly nowMs: () => number
  readonly log: RegistryLog | undefined
}): HostFallback {
  const restingUntilMs = new Map<string, number>()

  const rests = (key: string) => (restingUntilMs.get(key) ?? 0) > nowMs()
  const rest = (key: string) => {
    if (restingUntilMs.size >= MAX_RESTING) restingUntilMs.clear()
    restingUntilMs.set(key, nowMs() + REST_MS)
  }

  function candidates(
    all: readonly Host[],
    { reference, needs, authoritativeOnly, route, start = 0 }: HostQuestion,
  ) {
    const able = all.filter(
      (host) => host.capabilities[needs] && (host.authoritative || !authoritativeOnly),
    )
    const order = route?.order(able, start) ?? able
    const resting = (host: Host) => rests(standIn(host, reference))
    const sorted = [...order.filter((host) => !resting(host)), ...order.filter(resting)]
    return sorted.map((host) => ({ host, isLast: host === able.at(-1) }))
  }

  async function askOne<T>(
    host: Host,
    isLast: boolean,
    question: HostQuestion,
    attempt: (host: Host) => Promise<T>,
  ): Promise<T> {
    const { reference, signal, onRetry } = question
    const attempts = [question.attempts, retry?.attempts, isLast ? undefined : MIRROR_ATTEMPTS]
    return withRetry(() => silence.through(standIn(host, reference), () => attempt(host)), signal, {
      ...retry,
      attempts: Math.min(...attempts.filter((count) => count !== undefined), DEFAULT_ATTEMPTS),
      isWorthIt: ({ unreachable, retryAfterMs = 0 }) =>
        isLast || (!unreachable && retryAfterMs <= MAX_MIRROR_WAIT_MS),
      onRetry: (failure, waitMs) => {
        onRetry?.(failure)
        const fields = { reference: formatReference(reference), host: nameOfHost(host) }
        log?.debug(
          { ...fields, failure: failure.message, waitMs },
          'registry request is tried again',
        )
      },
    })
  }

  return {
    async ask(question, attempt) {
      const { reference, signal } = question
      signal.throwIfAborted()
      const asked = candidates((await hosts.lookup(reference.registry)).hosts, question)
      const failures: HostFailure[] = []
      for (const { host, isLast } of asked) {
        try {
          const result = await askOne(host, isLast, question, attempt)
          restingUntilMs.delete(standIn(host, reference))
          return result
        } catch (error) {
          signal.throwIfAborted()
          if (!(error instanceof RequestFailure)) throw error
          failures.push({ host, failure: error })
          if (error.unreachable) rest(standIn(host, reference))
          const fields = { reference: formatReference(reference), host: nameOfHost(host) }
          const detail = { ...fields, failure: error.message }
          if (error.code === 'CORRUPT') log?.warn?.(detail, 'a host sent something else')
          else log?.debug(detail, 'a host did not give what was asked')
        }
      }
      throw summarize(failures, question)
    },
  }
}

/** A mirror may stand for all registries: the one that somebody named to make it hang says nothing of the others. */
function standIn(host: Host, { registry }: Reference): string {
  return `${nameOfHost(host)} ${registry}`
}

/** What withRetry makes where nobody says otherwise. */
const DEFAULT_ATTEMPTS = 5

/** The failure of the host that is asked last by configuration leads: it is the one that the others stand in for. */
function summarize(failures: readonly HostFailure[], question: HostQuestion): CodedError {
  const subject = subjectOf(question.reference)
  const lead = failures.findLast(({ host }) => host.authoritative) ?? failures.at(-1)
  if (lead === undefined) return new CodedError(...nobody(subject, question))
  const others = failures.filter((failure) => failure !== lead)
  const detail = others.map(({ host, failure }) => `"${nameOfHost(host)}": ${failure.message}`)
  const asked = others.length === 0 ? '' : `; asked before: ${detail.join('; ')}`
  // One that cannot send from the middle can send the whole, when nobody else can send anything.
  const code = failures.find(({ failure }) => failure.code === 'INVALID')?.failure.code
  return new CodedError(
    lead.failure.code === 'UNAVAILABLE' && code !== undefined ? code : lead.failure.code,
    `${subject}: ${lead.failure.message}${asked}`,
    { cause: lead.failure.cause },
  )
}

function nobody(
  subject: string,
  { needs, authoritativeOnly, route }: HostQuestion,
): [CodedError['code'], string] {
  if (route !== undefined) return ['CORRUPT', `${subject}: every host sent other bytes`]
  if (authoritativeOnly) {
    return [
      'DENIED',
      `${subject}: no host that hosts.toml names for the registry proves who may read; an admin can vouch for one by oras_authoritative = true`,
    ]
  }
  const setting = needs === 'resolve' ? 'resolve tags ("resolve")' : 'be pulled from ("pull")'
  return [
    'INVALID',
    `${subject}: no host that hosts.toml names for the registry may ${setting}; an admin can add the capability`,
  ]
}
