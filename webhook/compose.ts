import { parseAnnotations } from '../common/composition/annotations.ts'
import type { Composition } from '../common/composition/composition.ts'
import { type Fault, findingsOf, type Notice } from '../common/composition/finding.ts'
import { type CodedError, isCodedError } from '../common/errors.ts'
import { applyComposition } from './apply-composition.ts'
import type { JsonObject } from './json.ts'
import { readAnnotations } from './pod.ts'

/** How pods are composed; everything has a default. */
export interface ComposeContext {
  /** Regular containers that entries without `containers` pass over; default: those that are known to be injected. */
  readonly sidecars?: readonly string[]
  /**
   * What is composed: a `pod` (default) as it is created, or the `template` of one, which other webhooks have not seen yet: sidecars that they
   * add may be missing, and a person who can mend it looks on, so that a moving tag gets a warning.
   */
  readonly origin?: 'pod' | 'template'
  /** Default {@link parseAnnotations}; gives what that gives, sooner. @see createCompositionCache */
  readonly parse?: (annotations: Readonly<Record<string, string>>) => Composition
}

/** What becomes of a pod. */
export type ComposeVerdict = ComposedPod | DeniedPod

/** A pod as it should be. */
export interface ComposedPod {
  readonly kind: 'composed'
  /** Shares with the input whatever did not change; the input itself when nothing did. */
  readonly pod: JsonObject
  /** What the annotations ask for; no entries where they ask for nothing. */
  readonly composition: Composition
  /** What somebody should know, with its place. */
  readonly findings: readonly Notice[]
  /** The messages of the findings, at most 120 characters each. */
  readonly warnings: readonly string[]
}

/** A pod that must not be created. */
export interface DeniedPod {
  readonly kind: 'denied'
  /** INVALID or CONFLICT; its message is that of the first finding. */
  readonly error: CodedError
  /** Everything that is wrong, as far as it can be told at once, with its place. */
  readonly findings: readonly Fault[]
}

/**
 * Makes of a pod or pod template what its annotations ask for, or says why not: the whole of what the webhook does to a pod. No I/O, no clock;
 * the input stays as it is.
 *
 * Convergent: only what is missing is added, so composing its own output changes nothing, and a container that came later gets what is its own.
 * All or nothing: a whole pod, or a denial.
 *
 * @param pod anything with `metadata` and `spec` of a pod; fields that are not known survive. The namespace plays no part: pods of controllers have none yet
 * @throws anything but INVALID and CONFLICT: a bug
 */
export function compose(pod: JsonObject, context: ComposeContext = {}): ComposeVerdict {
  try {
    const composition = (context.parse ?? parseAnnotations)(readAnnotations(pod))
    const { pod: composed, findings } = applyComposition(pod, composition, context)
    const warnings = findings.map(({ message }) => message)
    return { kind: 'composed', pod: composed, composition, findings, warnings }
  } catch (error) {
    if (!isCodedError(error, 'INVALID', 'CONFLICT')) throw error
    return { kind: 'denied', error, findings: findingsOf(error) }
  }
}
