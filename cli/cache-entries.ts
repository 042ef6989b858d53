import type { Inventory } from '../driver/store/inventory.ts'
import type { Lease } from '../driver/store/leases.ts'

/** A volume that needs something; its pod's name is empty when the driver found it mounted without a record. */
export interface CacheVolume {
  readonly id: string
  readonly namespace: string
  readonly pod: string
  readonly podUid: string
  readonly target: string
  readonly mounted: boolean
}

/** A tree or view as `cache ls --json` writes it. */
export interface CacheEntry {
  /** A tree is one artifact laid out; a view is what one volume shows of several, or of parts of one. */
  readonly kind: 'tree' | 'view'
  readonly key: string
  /** Of its files, as a volume shows them. */
  readonly bytes: number
  /** Files, directories and links. */
  readonly inodes: number
  /** When a volume last stopped using it, or it was made, e.g. `2026-01-01T00:00:00.000Z`. */
  readonly lastUsed: string
  /** By which it was asked for, as far as is known; else where it came from and its digest. */
  readonly references: readonly string[]
  /** That need it now. */
  readonly volumes: readonly CacheVolume[]
}

/**
 * Says what there is, what was used last first. Pure.
 *
 * @param bootId of the node: a lease of another boot holds nothing
 */
export function cacheEntries(inventory: Inventory, bootId: string): readonly CacheEntry[] {
  const leases = inventory.leases.filter((lease) => lease.bootId === bootId)
  const asked = new Map<string, Set<string>>()
  for (const { trees, sources } of leases) {
    for (const [index, key] of trees.entries()) {
      const reference = sources[index]?.reference
      if (reference !== undefined) asked.set(key, (asked.get(key) ?? new Set()).add(reference))
    }
  }
  const referencesOf = (key: string): readonly string[] => {
    const meta = inventory.trees.find((tree) => tree.key === key)?.meta
    const tagged = meta === undefined ? [] : (inventory.references.get(meta.manifest) ?? [])
    const known = [...new Set([...(asked.get(key) ?? []), ...tagged])]
    return known.length > 0 || meta === undefined
      ? known
      : meta.origins.map((origin) => `${origin}@${meta.manifest}`)
  }
  const trees = inventory.trees.map(({ key, meta, usedMs }): CacheEntry & { usedMs: number } => ({
    ...{ kind: 'tree', key, bytes: meta.bytes, inodes: meta.inodes, usedMs },
    lastUsed: new Date(usedMs).toISOString(),
    references: referencesOf(key),
    volumes: leases.filter((lease) => lease.trees.includes(key)).map(volumeOf),
  }))
  const views = inventory.views.map(({ key, meta, usedMs }): CacheEntry & { usedMs: number } => ({
    ...{ kind: 'view', key, bytes: meta.bytes, inodes: meta.inodes, usedMs },
    lastUsed: new Date(usedMs).toISOString(),
    references: [...new Set(meta.trees.flatMap(referencesOf))],
    volumes: leases.filter((lease) => lease.views.includes(key)).map(volumeOf),
  }))
  return [...trees, ...views]
    .sort((a, b) => b.volumes.length - a.volumes.length || b.usedMs - a.usedMs)
    .map(({ usedMs: _, ...entry }) => entry)
}

function volumeOf({ volumeId, pod, target, mounted }: Lease): CacheVolume {
  return {
    ...{ id: volumeId, namespace: pod.namespace, pod: pod.name, podUid: pod.uid },
    ...{ target, mounted },
  }
}

/** Names the pod of a volume: `default/app`. */
export function podName({ namespace, pod, podUid }: CacheVolume): string {
  return pod === '' ? `pod ${podUid}` : `${namespace}/${pod}`
}

/** How many of a list a table has room for. */
const MAX_SHOWN = 1

/** `a, +2` for three. */
export function abbreviated(names: readonly string[]): string {
  const distinct = [...new Set(names)]
  const more = distinct.length - MAX_SHOWN
  return [...distinct.slice(0, MAX_SHOWN), ...(more > 0 ? [`+${more}`] : [])].join(', ')
}

/** As many digits of a key as a person needs; `inspect` takes them. */
export function shortKey(key: string): string {
  return key.slice(0, 12)
}
