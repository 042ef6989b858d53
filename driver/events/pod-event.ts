import { shownText } from '../../common/shown-text.ts'
import type { LeasePod } from '../store/leases.ts'

/** What a pod is told, as `kubectl describe pod` shows it. */
export const EVENT_REASONS = ['PullingArtifact', 'PulledArtifact', 'DeniedArtifact'] as const

export type EventReason = (typeof EVENT_REASONS)[number]

/** One thing to tell about a pod. */
export interface PodEvent {
  readonly pod: LeasePod
  readonly type: 'Normal' | 'Warning'
  readonly reason: EventReason
  /** What it is about, e.g. a reference: what is told later of the same pod, reason and subject replaces it, and is counted. */
  readonly subject: string
  /** Without secrets and URLs; cut off where the API would refuse it. */
  readonly message: string
}

/** Of the API's `note`, and what kubectl shows in one piece. @see https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
export const MAX_MESSAGE_BYTES = 1024
const CUT = '...'

/** Writes a text as {@link shownText} does, and cuts it to a number of bytes in UTF-8, no character in half; what is cut ends with `...`. */
export function cutMessage(message: string, maxBytes = MAX_MESSAGE_BYTES): string {
  const shown = shownText(message)
  const bytes = Buffer.from(shown)
  if (bytes.length <= maxBytes) return shown
  let end = maxBytes - CUT.length
  // The bytes of a character after its first begin with the bits 10.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return bytes.subarray(0, end).toString() + CUT
}

const DNS_LABEL = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?'
const NAMESPACE = new RegExp(`^${DNS_LABEL}$`)
const POD_NAME = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`)

/**
 * Answers whether a pod's names are such as Kubernetes gives: they become part of a path of the API, and whoever calls the socket by hand names
 * pods as he likes.
 */
export function isPodNamed({ namespace, name, uid }: LeasePod): boolean {
  return (
    namespace.length <= 63 &&
    NAMESPACE.test(namespace) &&
    name.length <= 253 &&
    POD_NAME.test(name) &&
    uid !== ''
  )
}
