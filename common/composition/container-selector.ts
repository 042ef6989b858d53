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

/** Writes selectors as their user did; the same text is the same selection. */
export function formatContainerSelectors(
  selectors: readonly ContainerSelector[] | undefined,
): string | undefined {
  return selectors?.map(formatContainerSelector).join(',')
}

/** Writes a selector as its user did. */
export function formatContainerSelector(selector: ContainerSelector): string {
  return `${selector.init ? 'init:' : ''}${selector.pattern}${selector.optional ? '?' : ''}`
}
