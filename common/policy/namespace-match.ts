import { matchesStarGlob } from '../composition/star-glob.ts'
import type { RuleMatch } from './policy.ts'

/** Whether a rule is about a namespace; `maybe` when that is not known. */
export function matchNamespace(
  { namespaces }: Pick<RuleMatch, 'namespaces'>,
  namespace: string | undefined,
): 'yes' | 'no' | 'maybe' {
  if (namespaces === undefined || namespaces.some((glob) => /^\*+$/.test(glob))) return 'yes'
  if (namespace === undefined) return 'maybe'
  return namespaces.some((glob) => matchesStarGlob(glob, namespace)) ? 'yes' : 'no'
}
