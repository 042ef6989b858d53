import { bool, durationMs } from '../common/flags.ts'
import {
  ADMIN_PATHS,
  type PrunedItem,
  type PruneRequest,
  parsePruneAnswer,
} from '../driver/admin/admin-message.ts'
import { formatBytes } from '../driver/pull/format-progress.ts'
import { readInventory } from '../driver/store/inventory.ts'
import { readBootId } from '../driver/store/store.ts'
import { askDriver } from './admin-client.ts'
import { abbreviated, cacheEntries, shortKey } from './cache-entries.ts'
import { checkStore, STORE_FLAGS } from './cache-store.ts'
import { createCommand } from './command.ts'
import { counted, textTable } from './text-table.ts'

/** Has the running driver remove what no pod uses. */
export const cachePrune = createCommand({
  summary: 'remove artifacts that no pod of this node uses',
  usage: 'oras-csi cache prune [FLAGS]',
  flags: {
    all: { doc: 'however lately they were used', parse: bool },
    'older-than': {
      value: 'DURATION',
      doc: 'those that were last used longer ago than this',
      default: '24h',
      parse: durationMs,
    },
    'dry-run': { doc: 'only say which', parse: bool },
    ...STORE_FLAGS,
  },
  async run(values, _, io) {
    const directory = values['store-directory']
    const isDryRun = values['dry-run']
    await checkStore(directory)
    // Before they are gone, since only then it is known what they were.
    const entries = cacheEntries(await readInventory(directory), await readBootId())
    const references = new Map(entries.map((entry) => [entry.key, entry.references]))
    const age = values.all ? -ANY_AGE_MS : values['older-than']
    const body: PruneRequest = { usedBefore: Math.floor(Date.now() - age), isDryRun }
    const { pruned } = await askDriver({
      ...{ directory, body, path: ADMIN_PATHS.prune, parse: parsePruneAnswer },
      signal: io.interrupted,
    })
    if (values.json) {
      io.stdout(`${JSON.stringify({ isDryRun, pruned }, undefined, 2)}\n`)
      return 0
    }
    const bytes = pruned.reduce((sum, item) => sum + item.bytes, 0)
    const rows = pruned.map(({ kind, key, bytes: size }) => {
      const name = kind === 'tree' || kind === 'view' ? shortKey(key) : key
      return [kind, name, formatBytes(size), abbreviated(references.get(key) ?? [])]
    })
    const verb = isDryRun ? 'would remove' : 'removed'
    io.stdout(`${textTable(rows)}${verb} ${describe(pruned)}: ${formatBytes(bytes)}\n`)
    return 0
  },
})

/** Also what was used this moment, should the clock have been set back since. */
const ANY_AGE_MS = 365 * 24 * 60 * 60 * 1_000

function describe(pruned: readonly PrunedItem[]): string {
  const count = (kind: PrunedItem['kind']) => pruned.filter((item) => item.kind === kind).length
  return [
    counted(count('tree'), 'tree'),
    counted(count('view'), 'view'),
    counted(count('blob'), 'blob'),
    counted(count('ingest'), 'download'),
  ].join(', ')
}
