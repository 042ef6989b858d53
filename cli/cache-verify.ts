import { constants, setPriority } from 'node:os'
import { isCodedError } from '../common/errors.ts'
import { bool, byteCount } from '../common/flags.ts'
import { ADMIN_PATHS, parseQuarantineAnswer } from '../driver/admin/admin-message.ts'
import { formatBytes } from '../driver/pull/format-progress.ts'
import { readInventory } from '../driver/store/inventory.ts'
import { readBootId } from '../driver/store/store.ts'
import { createPace } from '../driver/store/verification.ts'
import { askDriver } from './admin-client.ts'
import { abbreviated, cacheEntries, podName, shortKey } from './cache-entries.ts'
import { checkStore, STORE_FLAGS } from './cache-store.ts'
import { type Damage, verifyInventory } from './cache-verification.ts'
import { createCommand } from './command.ts'
import { createProgressBar } from './progress-bar.ts'
import { counted } from './text-table.ts'

/** What became of something damaged: moved away so that the next pod pulls it again, gone meanwhile, or left. */
type Outcome = 'quarantined' | 'gone' | 'left'

/**
 * Looks for what the disk has damaged, slowly, in this process: the driver is not kept from its work. What is damaged the running driver moves out of the way:
 * pods that show it go on doing so, and the next one pulls it again.
 */
export const cacheVerify = createCommand({
  summary: 'read every blob again, check artifacts, and move away what is damaged',
  usage: 'oras-csi cache verify [FLAGS]',
  flags: {
    'report-only': { doc: 'move nothing away', parse: bool },
    'max-bytes-per-second': {
      value: 'BYTES',
      doc: 'how much is read',
      default: '100Mi',
      parse: byteCount(1024, 2 ** 40),
    },
    ...STORE_FLAGS,
  },
  async run(values, _, io) {
    const directory = values['store-directory']
    await checkStore(directory)
    // Before the threads for files start, which inherit it, and the disk's queue follows it.
    setPriority(constants.priority.PRIORITY_LOW)
    const bootId = await readBootId()
    const inventory = await readInventory(directory)
    const total = inventory.blobs.reduce((sum, { bytes }) => sum + bytes, 0)
    let done = 0
    using bar = createProgressBar(io)
    bar.show(() => ({ done, total }))
    const { counts, damage } = await verifyInventory(inventory, {
      bootId,
      entries: cacheEntries(inventory, bootId),
      podsOf: ({ volumes }) => [...new Set(volumes.map(podName))],
      pace: createPace(values['max-bytes-per-second'], io.interrupted),
      onRead: (bytes) => {
        done = bytes
      },
    })
    bar.clear()

    const quarantine = async ({ kind, key }: Damage): Promise<Outcome> => {
      const { wasThere } = await askDriver({
        ...{ directory, body: { kind, key }, path: ADMIN_PATHS.quarantine },
        parse: parseQuarantineAnswer,
        signal: io.interrupted,
      })
      return wasThere ? 'quarantined' : 'gone'
    }
    let obstacle: string | undefined
    const outcomes: (Damage & { readonly outcome: Outcome })[] = []
    for (const one of damage) {
      let outcome: Outcome = 'left'
      try {
        if (!values['report-only'] && obstacle === undefined) outcome = await quarantine(one)
      } catch (error) {
        // What was found is worth telling all the same.
        if (!isCodedError(error) || io.interrupted.aborted) throw error
        obstacle = error.message
      }
      outcomes.push({ ...one, outcome })
    }
    if (values.json) {
      io.stdout(`${JSON.stringify({ checked: counts, damaged: outcomes }, undefined, 2)}\n`)
    } else {
      const { blobs, bytes, trees, views, skipped } = counts
      const unsure = skipped === 0 ? '' : `; ${skipped} of before the reboot left out`
      io.stdout(
        `${outcomes.map(line).join('')}checked ${counted(blobs, 'blob')} of ${formatBytes(bytes)}, ${counted(trees, 'tree')}, ${counted(views, 'view')}${unsure}: ${damage.length === 0 ? 'all is well' : `${damage.length} damaged`}\n`,
      )
    }
    if (obstacle !== undefined) io.stderr(`nothing is moved away: ${obstacle}\n`)
    return damage.length === 0 ? 0 : 1
  },
})

const OUTCOMES = {
  quarantined: '; moved away, the next pod pulls it again',
  gone: '; gone meanwhile',
  left: '',
} satisfies Record<Outcome, string>

function line({ kind, key, fault, references, pods, outcome }: Damage & { outcome: Outcome }) {
  const name = kind === 'blob' ? key : shortKey(key)
  const of = references.length === 0 ? '' : ` (${abbreviated(references)})`
  const shown = pods.length === 0 ? '' : `; restart what shows it: ${pods.join(', ')}`
  return `${kind} ${name}${of} is damaged: ${fault}${OUTCOMES[outcome]}${shown}\n`
}
