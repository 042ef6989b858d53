import type { ContainerSelector } from './composition.ts'

// Container names are DNS labels; "*" stands for any part of one.
const PATTERN = /^(?:[a-z0-9*]|[a-z0-9*][a-z0-9*-]*[a-z0-9*])$/

/** What a selector looks like, for messages. */
export const SELECTOR_FORMS =
  'a container name such as "app", "init:setup", "worker-*", or "app?" (if present)'

/**
 * Reads `NAME`, a glob with `*`, `init:NAME`, each with an optional `?` at its end.
 *
 * @returns undefined when `text` is none of these
 */
export function parseContainerSelector(text: string): ContainerSelector | undefined {
  const init = text.startsWith('init:')
  const optional = text.endsWith('?')
  const pattern = text.slice(init ? 'init:'.length : 0, optional ? -1 : undefined)
  return PATTERN.test(pattern) && pattern.length <= 63 ? { pattern, init, optional } : undefined
}

/** Writes a selector as its user did. */
export function formatContainerSelector(selector: ContainerSelector): string {
  return `${selector.init ? 'init:' : ''}${selector.pattern}${selector.optional ? '?' : ''}`
}

/** Answers whether a container's name matches; `*` matches any run of characters, the empty one too. */
export function matchesPattern(pattern: string, name: string): boolean {
  const parts = pattern.split('*')
  const first = parts[0] ?? ''
  const last = parts.at(-1) ?? ''
  if (parts.length === 1) return name === pattern
  if (!name.startsWith(first) || name.length < first.length + last.length) return false
  if (!name.endsWith(last)) return false
  // Leftmost matches are enough, and take no backtracking: "*a*a*a*b" cannot stall the webhook.
  let at = first.length
  const end = name.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
