import { createHash } from 'node:crypto'
import { DRIVER_NAME } from '../../common/composition/composition.ts'
import { CodedError } from '../../common/errors.ts'
import type { ApiAnswer, ApiClient } from '../../common/kubernetes/api-client.ts'
import { createBoundedMap } from './bounded-map.ts'
import { cutMessage, type PodEvent } from './pod-event.ts'

/** An event, and how often it has happened since it was written last. */
export interface Occurrence {
  readonly event: PodEvent
  readonly times: number
  /** Of the last one, in milliseconds since 1970. */
  readonly atMs: number
}

/** Writes events through the API: the first as an object, further ones of the same key as a change of it. */
export interface EventWriter {
  /**
   * @throws UNAVAILABLE when it is worth trying again, later or after `retryAfterMs`; DENIED when it is not
   */
  write(key: string, occurrence: Occurrence, signal: AbortSignal): Promise<void>
}

/** Thrown for an overloaded API server that says when to come again. */
export class RetryLater extends CodedError {
  readonly retryAfterMs: number

  constructor(message: string, retryAfterMs: number) {
    super('UNAVAILABLE', message)
    this.retryAfterMs = retryAfterMs
  }
}

/** What is remembered of the events written, for further ones of the same key: as many as client-go. */
const MAX_REMEMBERED = 4096
/** Of an object's name there are 253 characters; the pod's name comes first, as kubectl's users are used to. */
const MAX_PREFIX = 200

interface Written {
  readonly name: string
  readonly count: number
}

/**
 * Writes core/v1 events, not those of events.k8s.io/v1: there, nothing of an event but its series may change, so each step of a pull would be an
 * object more; here, one object shows how far it is and how often that was said, as the kubelet's do.
 *
 * @param options.node the name of the node, which is where they come from
 */
export function createEventWriter(options: {
  readonly api: Pick<ApiClient, 'send'>
  readonly node: string
}): EventWriter {
  const { api, node } = options
  const remembered = createBoundedMap<string, Written>(MAX_REMEMBERED)

  const create = async (key: string, { event, times, atMs }: Occurrence, signal: AbortSignal) => {
    const { pod, type, reason, message } = event
    const name = nameOf(pod.name, [key, node, atMs])
    const answer = await api.send(
      {
        method: 'POST',
        path: `/api/v1/namespaces/${pod.namespace}/events`,
        body: {
          apiVersion: 'v1',
          kind: 'Event',
          metadata: { name, namespace: pod.namespace },
          involvedObject: { apiVersion: 'v1', kind: 'Pod', ...pod },
          ...{ type, reason },
          message: cutMessage(message),
          count: times,
          firstTimestamp: timestamp(atMs),
          lastTimestamp: timestamp(atMs),
          source: { component: DRIVER_NAME, host: node },
          reportingComponent: DRIVER_NAME,
          reportingInstance: node,
        },
      },
      signal,
    )
    // Its own: the answer to an earlier try was lost.
    if (answer.status !== 409) check(answer, 'create')
    remembered.set(key, { name, count: times })
  }

  return {
    async write(key, occurrence, signal) {
      const before = remembered.get(key)
      if (before === undefined) return create(key, occurrence, signal)
      const { event, times, atMs } = occurrence
      const count = before.count + times
      const answer = await api.send(
        {
          method: 'PATCH',
          path: `/api/v1/namespaces/${event.pod.namespace}/events/${before.name}`,
          contentType: 'application/merge-patch+json',
          body: { count, message: cutMessage(event.message), lastTimestamp: timestamp(atMs) },
        },
        signal,
      )
      if (answer.status === 404) {
        // The API server keeps events for an hour, as a rule.
        remembered.delete(key)
        return create(key, occurrence, signal)
      }
      check(answer, 'patch')
      remembered.set(key, { name: before.name, count })
    },
  }
}

/** The same for each try of one event. */
function nameOf(pod: string, parts: readonly unknown[]): string {
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
  return `${pod.slice(0, MAX_PREFIX).replace(/[^a-z0-9]+$/, '')}.${hash}`
}

function check({ status, message, retryAfterMs }: ApiAnswer, what: string): void {
  if (status < 300) return
  const text = `Cannot ${what} an event: the API server answered ${status}: ${message}`
  // A conflict with another change of the object, a token that expires, or what an overloaded server says: all pass.
  const isTransient = status === 409 || status === 429 || status === 401 || status >= 500
  if (!isTransient) throw new CodedError('DENIED', text)
  if (retryAfterMs !== undefined) throw new RetryLater(text, retryAfterMs)
  throw new CodedError('UNAVAILABLE', text)
}

/** To the second: all that `metav1.Time` keeps. */
function timestamp(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
