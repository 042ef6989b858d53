import { type ComposeContext, type ComposedPod, compose } from './compose.ts'
import type { JsonObject } from './json.ts'

/**
 * Composes a pod, for callers that go on with the composed pod only.
 *
 * @throws INVALID, CONFLICT when the pod must be denied; a `CompositionError` with everything that is wrong
 * @see compose
 */
export function mutate(pod: JsonObject, context: ComposeContext = {}): ComposedPod {
  const verdict = compose(pod, context)
  if (verdict.kind === 'denied') throw verdict.error
  return verdict
}
