import type { CacheKeyType } from './provider-response.ts'

/** An answer, for what it counts, and for how long. */
export interface ScopedAnswer<T> {
  readonly value: T
  /** `failed`: it counts for this image, and for all who wait for it. */
  readonly scope: CacheKeyType | 'failed'
  readonly keepMs: number
}

/** Answers about images, of which each says for which other images it counts too. */
export interface AnswerCache<T> {
  /** Gives an answer that counts, asking when there is none. @throws what `ask` throws, which nobody remembers */
  get(registry: string, repository: string): Promise<T>
}

interface Kept<T> {
  readonly value: T
  readonly untilMs: number
}

/** Pods name repositories freely. A forgotten answer is asked for again. */
const MAX_KEPT = 1000

/**
 * Keeps answers by image, registry or once for all, as each of them says.
 *
 * For what an answer counts is known only when it is there. Until then it is taken for what the one before it counted for, at first for its
 * registry: who asks about another image of it meanwhile waits, and asks himself if it turns out to be no answer to him.
 */
export function createAnswerCache<T>(options: {
  readonly ask: (image: string) => Promise<ScopedAnswer<T>>
  /** A clock that is never set back. */
  readonly nowMs: () => number
}): AnswerCache<T> {
  const { ask, nowMs } = options
  const kept = new Map<string, Kept<T>>()
  const running = new Map<string, Promise<ScopedAnswer<T>>>()
  let lastScope: CacheKeyType = 'Registry'

  const find = (registry: string, image: string): Kept<T> | undefined => {
    for (const scope of SCOPES) {
      const key = keyOf(scope, registry, image)
      const known = kept.get(key)
      if (known === undefined) continue
      if (nowMs() < known.untilMs) return known
      kept.delete(key)
    }
    return undefined
  }

  const start = async (registry: string, image: string): Promise<ScopedAnswer<T>> => {
    const answer = await ask(image)
    const { value, scope, keepMs } = answer
    if (scope !== 'failed') lastScope = scope
    const key = keyOf(scope === 'failed' ? 'Image' : scope, registry, image)
    // Last again, so that the first is the one that was asked for longest ago.
    kept.delete(key)
    kept.set(key, { value, untilMs: nowMs() + keepMs })
    const oldest = kept.keys().next().value
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest)
    return answer
  }

  return {
    async get(registry, repository) {
      const image = `${registry}/${repository}`
      for (;;) {
        const known = find(registry, image)
        if (known !== undefined) return known.value
        const key = keyOf(lastScope, registry, image)
        const others = running.get(key)
        if (others === undefined) {
          const own = start(registry, image).finally(() => running.delete(key))
          running.set(key, own)
          return (await own).value
        }
        const { scope, value } = await others
        // A hundred pods that start together must not wait a minute each, one after the other.
        if (scope === 'failed') return value
      }
    },
  }
}

const SCOPES: readonly CacheKeyType[] = ['Image', 'Registry', 'Global']

function keyOf(scope: CacheKeyType, registry: string, image: string): string {
  switch (scope) {
    case 'Image':
      return `image ${image}`
    case 'Registry':
      return `registry ${registry}`
    case 'Global':
      return 'global'
  }
}
