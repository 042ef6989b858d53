import { parseAnnotations } from './annotations.ts'
import { ANNOTATION_PREFIX, ANNOTATIONS, type Composition } from './composition.ts'

// Replicas, retries and the pods of a Job come in bursts with the same annotations; 4 MiB of text at most, 100 KiB as a rule.
const MAX_COMPOSITIONS = 128

/**
 * Makes a reader that gives what {@link parseAnnotations} gives, and remembers it for the annotations that it was given last: reading YAML is most of
 * what a review costs. What is refused is read anew each time.
 */
export function createCompositionCache(
  maxCompositions: number = MAX_COMPOSITIONS,
): typeof parseAnnotations {
  // In the order of use, the longest unused first.
  const compositions = new Map<string, Composition>()
  return (annotations) => {
    const ours = Object.entries(annotations).filter(
      ([key]) => key.startsWith(ANNOTATION_PREFIX) && key !== ANNOTATIONS.status,
    )
    // As JSON, so that no value can pass for another key.
    const key = JSON.stringify(ours)
    const composition = compositions.get(key) ?? parseAnnotations(annotations)
    compositions.delete(key)
    compositions.set(key, composition)
    if (compositions.size > maxCompositions) {
      const [oldest] = compositions.keys()
      if (oldest !== undefined) compositions.delete(oldest)
    }
    return composition
  }
}
