import { formatBytes } from '../driver/pull/format-progress.ts'
import { readInventory } from '../driver/store/inventory.ts'
import { readBootId } from '../driver/store/store.ts'
import { abbreviated, type CacheEntry, cacheEntries, podName, shortKey } from './cache-entries.ts'
import { checkStore, STORE_FLAGS } from './cache-store.ts'
import { createCommand } from './command.ts'
import { counted, textTable } from './text-table.ts'

/** Lists what the node keeps, by reading the store; whether a driver runs makes no difference. */
export const cacheList = createCommand({
  summary: 'list the artifacts on this node, and which pods use them',
  usage: 'oras-csi cache ls [FLAGS]',
  flags: STORE_FLAGS,
  async run(values, _, io) {
    await checkStore(values['store-directory'])
    const inventory = await readInventory(values['store-directory'])
    const { directory, unreadable } = inventory
    const entries = cacheEntries(inventory, await readBootId())
    const blobs = {
      count: inventory.blobs.length,
      bytes: inventory.blobs.reduce((sum, { bytes }) => sum + bytes, 0),
    }
    const otherVolumes = inventory.otherLeases.length
    if (values.json) {
      const listing = { directory, entries, blobs, unreadable, otherVolumes }
      io.stdout(`${JSON.stringify(listing, undefined, 2)}\n`)
      return 0
    }
    const now = Date.now()
    const count = (kind: CacheEntry['kind']) => entries.filter((one) => one.kind === kind).length
    const notes = [
      `${counted(count('tree'), 'tree')}, ${counted(count('view'), 'view')} and ${counted(blobs.count, 'blob')} of ${formatBytes(blobs.bytes)} in ${directory}`,
      ...(unreadable.length === 0
        ? []
        : [`unreadable, and made again when asked for: ${unreadable.join(', ')}`]),
      ...(otherVolumes === 0
        ? []
        : [
            `${counted(otherVolumes, 'volume')} of drivers that kept their store in another format`,
          ]),
    ]
    const table = entries.length === 0 ? '' : `${textTable([HEAD, ...entries.map(row(now))])}\n`
    io.stdout(`${table}${notes.join('\n')}\n`)
    return 0
  },
})

const HEAD = ['KIND', 'KEY', 'SIZE', 'LAST USED', 'PODS', 'REFERENCE']

function row(now: number) {
  return (entry: CacheEntry): readonly string[] => {
    const { kind, key, bytes, volumes, references, lastUsed } = entry
    const used = volumes.length > 0 ? 'in use' : formatAge(now - Date.parse(lastUsed))
    const pods = volumes.length === 0 ? '-' : abbreviated(volumes.map(podName))
    return [kind, shortKey(key), formatBytes(bytes), used, pods, abbreviated(references)]
  }
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** `just now`, `5 min ago`, `3 h ago`, `12 days ago`. */
export function formatAge(ms: number): string {
  if (ms < MINUTE_MS) return 'just now'
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min ago`
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h ago`
  return `${Math.floor(ms / DAY_MS)} days ago`
}
