import type { Answer } from './answer.ts'
import { contentOf, corruptedContent, resizedContent } from './content.ts'
import { type Gate, type OpenGate, openGate } from './gate.ts'
import { type LoggedRequest, matchesPath, type PathPattern } from './request-log.ts'

/** Which requests a fault hits. Requests that are only challenged (401) for want of credentials are never hit. */
export interface FaultMatch {
  /** Any when absent. */
  readonly method?: string
  /** Any when absent. */
  readonly path?: PathPattern
  /** A further condition, e.g. `(request) => request.range !== undefined`. */
  readonly where?: (request: LoggedRequest) => boolean
  /** How many requests it hits before it is spent; no limit when absent. */
  readonly times?: number
}

/** What goes wrong instead of, or before, an answer. */
export type EarlyFault =
  /** Answers this instead. */
  | {
      readonly kind: 'status'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** Redirects; the path and query of the request are appended to a URL that has no path. Default status 307. */
  | { readonly kind: 'redirect'; readonly to: string; readonly status?: number }
  /** Resets the connection without an answer. */
  | { readonly kind: 'disconnect' }
  /** Waits before it answers: network latency. */
  | { readonly kind: 'delay'; readonly ms: number }

/** What goes wrong with an answer that has a body. */
export type BodyFault =
  /** Flips a bit of the byte at this offset of the whole content (default 0), also when a range is asked for. */
  | { readonly kind: 'corrupt'; readonly at?: number }
  /** Keeps Content-Length, and closes the connection after so many bytes of the body. */
  | { readonly kind: 'truncate'; readonly afterBytes: number }
  /** Keeps Content-Length, and resets the connection after so many bytes of the body. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** Keeps Content-Length, and sends so many bytes more after the body. */
  | { readonly kind: 'surplus'; readonly bytes: number }
  /** Sends no Content-Length: the body comes in chunks. */
  | { readonly kind: 'chunked' }
  /** Serves fewer (negative) or more bytes than the descriptor says, with the Content-Length of what it serves. */
  | { readonly kind: 'resize'; readonly by: number }
  /** Serves other content altogether, under the digest asked for. */
  | { readonly kind: 'replace'; readonly content: Uint8Array | string }
  /** Sends this Content-Range with a 206; one byte off when absent. */
  | { readonly kind: 'content-range'; readonly value?: string }
  /** Answers 200 with everything to a request for a range. */
  | { readonly kind: 'ignore-range' }
  /** Sends no faster than this, for each answer on its own. */
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }
  /** Sends this Docker-Content-Digest, or none when absent. */
  | { readonly kind: 'digest-header'; readonly value?: string }
  /** Adds or replaces headers. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string>> }

export type Fault = EarlyFault | BodyFault

/** A fault that was set. */
export interface ActiveFault {
  /** How many requests it has hit. */
  readonly hits: number
  remove(): void
}

/** How the body of an answer is sent. */
export interface Delivery {
  readonly disconnectAfterBytes?: number
  /** Where it disconnects, it does so by a reset: bytes that were sent may be lost. */
  readonly reset?: boolean
  readonly surplusBytes?: number
  readonly chunked?: boolean
  readonly pauses: readonly { readonly afterBytes: number; readonly until: () => Promise<void> }[]
  readonly bytesPerSecond?: number
  readonly ignoreRange: boolean
  /** Undefined: correct. */
  readonly contentRange?: (correct: string) => string
}

export const PLAIN_DELIVERY: Delivery = { pauses: [], ignoreRange: false }

/** What happens to a request before it is routed. */
export type Before = 'route' | 'disconnect' | Answer

/** The faults of one registry. */
export interface Faults extends Disposable {
  set(match: FaultMatch, fault: Fault): ActiveFault
  hold(match: FaultMatch & { readonly afterBytes?: number }): Gate
  /** Waits out delays and gates, then says whether the request is answered without being routed. */
  before(request: LoggedRequest): Promise<Before>
  /** Applies what changes the answer, and says how it is to be sent. */
  after(request: LoggedRequest, answer: Answer): { answer: Answer; delivery: Delivery }
}

interface Rule<T> {
  readonly match: FaultMatch
  readonly effect: T
  hits: number
}

/** Makes a registry that works; faults are set as it runs. */
export function createFaults(): Faults {
  const early = new Set<Rule<EarlyFault>>()
  const body = new Set<Rule<BodyFault>>()
  const gates = new Set<Rule<{ gate: OpenGate; afterBytes: number | undefined }>>()
  return {
    set: (match, fault) => (isEarly(fault) ? add(early, match, fault) : add(body, match, fault)),
    hold: ({ afterBytes, ...match }) => {
      const gate = openGate(() => gates.delete(rule))
      const rule = { match, effect: { gate, afterBytes }, hits: 0 }
      gates.add(rule)
      return gate
    },
    before: async (request) => {
      for (const { gate } of take(gates, request, (effect) => effect.afterBytes === undefined)) {
        await gate.pass()
      }
      for (const fault of take(early, request)) {
        const outcome = await meet(fault, request)
        if (outcome !== 'route') return outcome
      }
      return 'route'
    },
    after: (request, plain) => {
      if (plain.content === undefined) return { answer: plain, delivery: PLAIN_DELIVERY }
      let answer = plain
      let delivery = PLAIN_DELIVERY
      for (const fault of take(body, request)) {
        answer = changed(answer, fault)
        delivery = delivered(delivery, fault)
      }
      const pauses = take(gates, request, (effect) => effect.afterBytes !== undefined).map(
        ({ gate, afterBytes }) => ({ afterBytes: afterBytes ?? 0, until: () => gate.pass() }),
      )
      return { answer, delivery: { ...delivery, pauses } }
    },
    [Symbol.dispose]: () => {
      for (const rule of [...gates]) rule.effect.gate.release()
      early.clear()
      body.clear()
    },
  }
}

function add<T>(rules: Set<Rule<T>>, match: FaultMatch, effect: T): ActiveFault {
  const rule = { match, effect, hits: 0 }
  rules.add(rule)
  return {
    get hits() {
      return rule.hits
    },
    remove: () => {
      rules.delete(rule)
    },
  }
}

function take<T>(
  rules: Set<Rule<T>>,
  request: LoggedRequest,
  wanted: (effect: T) => boolean = () => true,
): T[] {
  const effects: T[] = []
  for (const rule of rules) {
    const { match } = rule
    if (!wanted(rule.effect)) continue
    if (rule.hits >= (match.times ?? Number.POSITIVE_INFINITY)) continue
    if (match.method !== undefined && match.method !== request.method) continue
    if (match.path !== undefined && !matchesPath(match.path, request.path)) continue
    if (match.where !== undefined && !match.where(request)) continue
    rule.hits += 1
    effects.push(rule.effect)
  }
  return effects
}

function isEarly(fault: Fault): fault is EarlyFault {
  return ['status', 'redirect', 'disconnect', 'delay'].includes(fault.kind)
}

async function meet(fault: EarlyFault, request: LoggedRequest): Promise<Before> {
  switch (fault.kind) {
    case 'status':
      return {
        status: fault.status,
        headers: { ...fault.headers },
        content: contentOf(Buffer.from(fault.body ?? '')),
      }
    case 'redirect':
      return {
        status: fault.status ?? 307,
        headers: { location: redirectTarget(fault.to, request), 'content-length': '0' },
      }
    case 'disconnect':
      return 'disconnect'
    case 'delay':
      await new Promise((resolve) => setTimeout(resolve, fault.ms))
      return 'route'
  }
}

function redirectTarget(to: string, request: LoggedRequest): string {
  const url = new URL(to)
  if (url.pathname !== '/') return to
  url.pathname = request.path
  for (const [key, value] of Object.entries(request.query)) url.searchParams.append(key, value)
  return url.href
}

function changed(answer: Answer, fault: BodyFault): Answer {
  const { content } = answer
  if (content === undefined) return answer
  switch (fault.kind) {
    case 'corrupt':
      return { ...answer, content: corruptedContent(content, fault.at ?? 0) }
    case 'resize':
      return { ...answer, content: resizedContent(content, fault.by) }
    case 'replace':
      return { ...answer, content: contentOf(Buffer.from(fault.content)) }
    case 'digest-header': {
      const { 'docker-content-digest': _, ...headers } = answer.headers
      return {
        ...answer,
        headers:
          fault.value === undefined
            ? headers
            : { ...headers, 'docker-content-digest': fault.value },
      }
    }
    case 'headers':
      return { ...answer, headers: { ...answer.headers, ...fault.headers } }
    case 'truncate':
    case 'reset':
    case 'surplus':
    case 'chunked':
    case 'content-range':
    case 'ignore-range':
    case 'throttle':
      return answer
  }
}

function delivered(delivery: Delivery, fault: BodyFault): Delivery {
  switch (fault.kind) {
    case 'truncate':
      return { ...delivery, disconnectAfterBytes: fault.afterBytes }
    case 'reset':
      return { ...delivery, disconnectAfterBytes: fault.afterBytes, reset: true }
    case 'surplus':
      return { ...delivery, surplusBytes: fault.bytes }
    case 'chunked':
      return { ...delivery, chunked: true }
    case 'content-range':
      return { ...delivery, contentRange: (correct) => fault.value ?? oneOff(correct) }
    case 'ignore-range':
      return { ...delivery, ignoreRange: true }
    case 'throttle':
      return { ...delivery, bytesPerSecond: fault.bytesPerSecond }
    case 'corrupt':
    case 'resize':
    case 'replace':
    case 'digest-header':
    case 'headers':
      return delivery
  }
}

/** `bytes 5-9/10` becomes `bytes 6-10/10`. */
function oneOff(contentRange: string): string {
  return contentRange.replace(
    /([0-9]+)-([0-9]+)/,
    (_, first: string, last: string) => `${Number(first) + 1}-${Number(last) + 1}`,
  )
}
