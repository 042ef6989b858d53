/**
 * Answers whether a glob whose only wildcard is `*` matches; `*` stands for any run of characters, the empty one too.
 *
 * The attack: `*a*a*a*a*b` from a pod, which takes regular expressions exponential time.
 */
export function matchesStarGlob(pattern: string, name: string): boolean {
  const parts = pattern.split('*')
  const first = parts[0] ?? ''
  const last = parts.at(-1) ?? ''
  if (parts.length === 1) return name === pattern
  if (!name.startsWith(first) || name.length < first.length + last.length) return false
  if (!name.endsWith(last)) return false
  // Leftmost matches are enough: no backtracking.
  let at = first.length
  const end = name.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
