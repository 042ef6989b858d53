import type { QuarantinedKind } from '../driver/admin/admin-message.ts'
import type { Inventory, StoredDirectory } from '../driver/store/inventory.ts'
import { blobFault, directoryFault, inodeOf, type Pace } from '../driver/store/verification.ts'
import type { CacheEntry } from './cache-entries.ts'

/** Something that is not what it should be. */
export interface Damage {
  readonly kind: QuarantinedKind
  /** Of a blob its digest. */
  readonly key: string
  /** Completes "is damaged: ...". */
  readonly fault: string
  readonly references: readonly string[]
  /** Names of pods that go on showing it until they end. */
  readonly pods: readonly string[]
}

/** What was looked at. */
export interface VerifiedCounts {
  readonly blobs: number
  readonly bytes: number
  readonly trees: number
  readonly views: number
  /** What another boot left and nothing shows to have reached the disk: the driver does not use it. */
  readonly skipped: number
}

/**
 * Reads every blob again and compares it with its digest, then every tree and view with its record.
 *
 * @param options.onRead told how many bytes of blobs were read
 */
export async function verifyInventory(
  inventory: Inventory,
  options: {
    readonly bootId: string
    readonly entries: readonly CacheEntry[]
    readonly podsOf: (entry: CacheEntry) => readonly string[]
    readonly pace: Pace
    readonly onRead: (bytes: number) => void
  },
): Promise<{ readonly counts: VerifiedCounts; readonly damage: readonly Damage[] }> {
  const { bootId, entries, podsOf, onRead } = options
  const damage: Damage[] = []
  const damaged = new Map<bigint, string>()
  const counts = { blobs: 0, bytes: 0, trees: 0, views: 0, skipped: 0 }
  const pace: Pace = {
    spend(bytes) {
      counts.bytes += bytes
      onRead(counts.bytes)
      return options.pace.spend(bytes)
    },
  }
  const isTrusted = (mark: { readonly bootId: string; readonly durable: boolean }) =>
    mark.durable || mark.bootId === bootId

  for (const blob of inventory.blobs) {
    if (!isTrusted(blob.record)) {
      counts.skipped += 1
      continue
    }
    const inode = await inodeOf(blob.path)
    const fault = await blobFault(blob, pace)
    counts.blobs += 1
    if (fault === undefined) continue
    if (inode !== undefined) damaged.set(inode, blob.digest)
    damage.push({ kind: 'blob', key: blob.digest, fault, references: [], pods: [] })
  }

  const byKey = new Map(entries.map((entry) => [entry.key, entry]))
  const look = async (
    kind: 'tree' | 'view',
    stored: StoredDirectory<{ readonly bytes: number; readonly inodes: number }>,
  ) => {
    const entry = byKey.get(stored.key)
    const fault = await directoryFault(stored, { damaged, pace: options.pace })
    counts[`${kind}s`] += 1
    if (fault === undefined) return
    damage.push({
      ...{ kind, key: stored.key, fault },
      references: entry?.references ?? [],
      pods: entry === undefined ? [] : podsOf(entry),
    })
  }
  for (const [kind, all] of [
    ['tree', inventory.trees],
    ['view', inventory.views],
  ] as const) {
    for (const stored of all) {
      if (isTrusted(stored.meta)) await look(kind, stored)
      else counts.skipped += 1
    }
  }
  return { counts, damage }
}
