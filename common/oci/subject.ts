import { formatReference, type Reference } from './reference.ts'

/** Begins every message about a pull, e.g. `Cannot pull "ghcr.io/acme/app:v1"`. */
export function subjectOf(reference: Reference): string {
  return `Cannot pull "${formatReference(reference)}"`
}
