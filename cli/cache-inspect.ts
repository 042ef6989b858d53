import { CodedError } from '../common/errors.ts'
import { formatBytes } from '../driver/pull/format-progress.ts'
import { type Inventory, readInventory } from '../driver/store/inventory.ts'
import { readBootId } from '../driver/store/store.ts'
import { type CacheEntry, cacheEntries, podName } from './cache-entries.ts'
import { checkStore, STORE_FLAGS } from './cache-store.ts'
import { createCommand } from './command.ts'
import { textTable } from './text-table.ts'

/** A tree or view as `cache inspect --json` writes it. */
interface CacheDetail extends CacheEntry {
  /** What volumes show. */
  readonly directory: string
  /** What it has alone; the rest it shares. */
  readonly ownBytes: number
  /** Whether it would survive a power cut. */
  readonly durable: boolean
  /** Of a tree. */
  readonly manifest?: string
  /** Of a tree: from where each of its blobs was downloaded. */
  readonly origins?: readonly string[]
  /** Of a tree: those it was made of; `bytes` is missing of one that is not kept any more. */
  readonly blobs?: readonly { readonly digest: string; readonly bytes?: number }[]
  /** Of a view: those it was made of. Of a tree: the views made of it. */
  readonly trees?: readonly string[]
  readonly views?: readonly string[]
}

/** Shows all that is known of one tree or view, by reading the store. */
export const cacheInspect = createCommand({
  summary: 'show what is known of one artifact on this node',
  usage: 'oras-csi cache inspect KEY [FLAGS]',
  flags: STORE_FLAGS,
  positionals: 1,
  async run(values, [wanted = ''], io) {
    await checkStore(values['store-directory'])
    const inventory = await readInventory(values['store-directory'])
    const entry = findEntry(cacheEntries(inventory, await readBootId()), wanted)
    const detail = detailOf(entry, inventory)
    io.stdout(values.json ? `${JSON.stringify(detail, undefined, 2)}\n` : format(detail))
    return 0
  },
})

/** Any beginning of a key that only one has. */
function findEntry(entries: readonly CacheEntry[], wanted: string): CacheEntry {
  const found = entries.filter(({ key }) => key.startsWith(wanted))
  const [first] = found
  if (first !== undefined && found.length === 1) return first
  const what = found.length === 0 ? 'No key begins' : `${found.length} keys begin`
  throw new CodedError('NOT_FOUND', `${what} with "${wanted}"; oras-csi cache ls lists the keys`)
}

function detailOf(entry: CacheEntry, inventory: Inventory): CacheDetail {
  const { key } = entry
  const tree = inventory.trees.find((one) => one.key === key)
  const view = inventory.views.find((one) => one.key === key)
  const stored = tree ?? view
  if (stored === undefined) throw new Error(`${key} was listed and is not there`)
  const { bytes, ownBytes = bytes, durable } = stored.meta
  const sizes = new Map<string, number>(inventory.blobs.map((one) => [one.digest, one.bytes]))
  return {
    ...entry,
    ...{ directory: stored.root, ownBytes, durable },
    ...(tree !== undefined && {
      manifest: tree.meta.manifest,
      origins: tree.meta.origins,
      blobs: tree.meta.blobs.map((digest) => {
        const size = sizes.get(digest)
        return { digest, ...(size !== undefined && { bytes: size }) }
      }),
      views: inventory.views.filter((one) => one.meta.trees.includes(key)).map((one) => one.key),
    }),
    ...(view !== undefined && { trees: view.meta.trees }),
  }
}

function format(detail: CacheDetail): string {
  const { kind, key, directory, manifest, bytes, ownBytes, inodes, lastUsed, durable } = detail
  const blobs = detail.blobs?.map(
    ({ digest, bytes: size }) =>
      `${digest}  ${size === undefined ? 'not kept' : formatBytes(size)}`,
  )
  const pods = detail.volumes.map(
    (volume) => `${podName(volume)}  ${volume.mounted ? 'at' : 'being made at'} ${volume.target}`,
  )
  return textTable([
    [kind, key],
    ['directory', directory],
    ...(manifest === undefined ? [] : [['manifest', manifest]]),
    ...rows('references', detail.references),
    ...rows('origins', detail.origins),
    ['size', `${formatBytes(bytes)} in ${inodes} entries, ${formatBytes(ownBytes)} of its own`],
    ['last used', detail.volumes.length > 0 ? 'in use' : lastUsed],
    ['durable', durable ? 'yes' : 'not yet written to the disk for certain'],
    ...rows('blobs', blobs),
    ...rows('trees', detail.trees),
    ...rows('views', detail.views),
    ...rows('pods', pods),
  ])
}

function rows(name: string, values: readonly string[] = []): readonly (readonly string[])[] {
  return values.map((value, index) => [index === 0 ? name : '', value])
}
