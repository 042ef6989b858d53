import { closest, distance } from 'fastest-levenshtein'

/**
 * Finds what a person who typed `word` most likely meant.
 *
 * @returns the candidate nearest in edit distance, or undefined when none is near (more than a third of the word differs)
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (candidates.length === 0) return undefined
  const best = closest(word.toLowerCase(), [...candidates])
  const allowed = Math.max(1, Math.floor(Math.max(word.length, best.length) / 3))
  return distance(word.toLowerCase(), best.toLowerCase()) <= allowed ? best : undefined
}

/** Writes `; did you mean "x"?` for the nearest candidate, or nothing when none is near. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const best = nearest(word, candidates)
  return best === undefined ? '' : `; did you mean "${best}"?`
}
