import { parseAnnotations } from '../common/composition/annotations.ts'
import { type ComposedPod, type ComposeOptions, compose } from './compose.ts'
import type { JsonObject } from './json.ts'
import { readAnnotations } from './pod.ts'

/**
 * Makes of a pod what its annotations ask for: the whole of what the webhook does to a pod, and what `oras-csi preview`
 * shows.
 *
 * @throws INVALID, CONFLICT when the pod must be denied
 */
export function mutate(pod: JsonObject, options: ComposeOptions = {}): ComposedPod {
  return compose(pod, parseAnnotations(readAnnotations(pod)), options)
}
