import { quote } from './annotation-value.ts'
import { LIMITS } from './composition.ts'

/**
 * Says what is wrong with a glob for files: what gitignore does not know, and what can match no file of a tree.
 *
 * @returns text that completes "Invalid ...: ", or undefined for a good one such as `*.jar`, `/lib/`, `docs/**` or `!*-sources.jar`
 */
export function fileGlobProblem(glob: string): string | undefined {
  const found = `found ${quote(glob)}`
  if (glob.length > LIMITS.globLength) {
    return `found a glob of ${glob.length} characters; expected at most ${LIMITS.globLength}`
  }
  const pattern = glob.startsWith('!') ? glob.slice(1) : glob
  if (/^\/*$/.test(pattern)) return `${found}, which matches nothing; expected a glob, e.g. "*.jar"`
  if (pattern.startsWith('#')) {
    return `${found}, a comment to gitignore; expected "\\\\#" for a name that starts with "#"`
  }
  if (/(?<!\\) $/.test(pattern)) {
    return `${found}, which ends with a blank; expected none, or "\\\\ " for a name that ends so`
  }
  return partsProblem(found, pattern) ?? charactersProblem(found, pattern)
}

/** Paths of a tree are relative and clean: no glob with such a part can match one. */
function partsProblem(found: string, pattern: string): string | undefined {
  const parts = pattern.replace(/^\//, '').replace(/\/$/, '').split('/')
  if (parts.includes('..')) {
    return `${found}, which cannot match: no path in an artifact has ".."; expected a path in it`
  }
  if (!parts.includes('') && !parts.includes('.')) return undefined
  const clean = parts.filter((part) => part !== '' && part !== '.').join('/')
  const hint = clean === '' ? 'the path of a file' : quote(clean)
  return `${found}, which cannot match: paths in an artifact have no "." and no empty part; expected ${hint}`
}

/** What other globs have and gitignore has not would silently match nothing. */
function charactersProblem(found: string, pattern: string): string | undefined {
  for (let at = 0; at < pattern.length; at++) {
    switch (pattern[at]) {
      case '\\':
        at++
        if (at === pattern.length) {
          return `${found}, which ends with a lone "\\"; expected "\\\\\\\\" for the character`
        }
        break
      case '[': {
        const end = endOfClass(pattern, at)
        if (end === undefined) {
          return `${found}, whose "[" has no "]"; expected e.g. "[a-z]", or "\\\\[" for the character`
        }
        at = end
        break
      }
      case '{':
        return `${found}, but gitignore has no "{a,b}"; expected a glob for each, or "\\\\{" for the character`
    }
  }
  return undefined
}

/** Where the class that starts at `from` has its `]`, in the same part of the path, with something before it. */
function endOfClass(pattern: string, from: number): number | undefined {
  const first = /[!^]/.test(pattern[from + 1] ?? '') ? from + 2 : from + 1
  for (let at = first; at < pattern.length; at++) {
    const character = pattern[at]
    if (character === '/') return undefined
    if (character === '\\') at++
    else if (character === ']') return at === first ? undefined : at
    else if (character === '[' && pattern[at + 1] === ':') {
      const end = pattern.indexOf(':]', at + 2)
      if (end < 0) return undefined
      at = end + 1
    }
  }
  return undefined
}
