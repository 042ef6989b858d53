import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { readdir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isSystemError } from '../common/errors.ts'
import { bool } from '../common/flags.ts'
import { ADMIN_SOCKET } from '../driver/admin/admin-message.ts'
import { removeTreeInSlices } from '../driver/linux/remove-tree.ts'
import { type Inventory, readInventory } from '../driver/store/inventory.ts'
import { readBootId, STORE_DIRECTORIES } from '../driver/store/store.ts'
import { lockStore } from '../driver/store/store-lock.ts'
import { createStoreMounts } from '../driver/volume/store-mounts.ts'
import { checkStore, STORE_FLAGS } from './cache-store.ts'
import { createCommand } from './command.ts'
import { counted } from './text-table.ts'

/**
 * Removes everything the driver has kept on a node, after it was uninstalled. Refuses while a driver has the store open, while a volume has not been
 * unpublished since the node booted, and while any process sees a mount that shows something of it.
 */
export const cachePurge = createCommand({
  summary: 'remove everything from a node that the driver was uninstalled from',
  usage: 'oras-csi cache purge --yes [FLAGS]',
  flags: {
    yes: { doc: 'really; without it, says whether it could be done', parse: bool },
    'store-directory': STORE_FLAGS['store-directory'],
  },
  async run(values, _, io) {
    const directory = values['store-directory']
    await checkStore(directory)
    using _lock = await lockUnlessOpen(directory)
    refuseVolumes(await readInventory(directory), await readBootId())
    refuseMounts(directory)
    if (!values.yes) {
      io.stdout(`nothing uses "${directory}"; with --yes it is removed\n`)
      return 1
    }
    for (const name of await readdir(directory)) {
      // The lock last: a driver that starts meanwhile waits for it.
      if (name === LOCK || !isOurs(name)) continue
      await removeTreeInSlices(directory, name, io.interrupted)
    }
    await removeTreeInSlices(directory, LOCK)
    try {
      await rmdir(directory)
      io.stdout(`removed "${directory}"\n`)
    } catch (error) {
      // Somebody else's files, or the root of a file system of its own.
      if (!isSystemError(error, 'ENOTEMPTY', 'EBUSY')) throw error
      io.stdout(`emptied "${directory}", but for what is not the driver's\n`)
    }
    return 0
  },
})

const LOCK = 'lock'
const FILES: readonly string[] = ['format', 'salt', ADMIN_SOCKET, ...STORE_DIRECTORIES]

/** Never what somebody else has put there. */
function isOurs(name: string): boolean {
  return FILES.includes(name) || /^format-[0-9]+$/.test(name) || /^\.(tmp|admin)-/.test(name)
}

async function lockUnlessOpen(directory: string): Promise<Disposable> {
  const giveUp = new AbortController()
  const reason = new CodedError(
    'CONFLICT',
    `Cannot remove "${directory}": a driver has it open; uninstall it first`,
  )
  return lockStore({
    path: join(directory, LOCK),
    signal: giveUp.signal,
    onWait: () => giveUp.abort(reason),
  })
}

/** How many the message names. */
const MAX_NAMED = 5

function refuseVolumes({ directory, leases, otherLeases }: Inventory, bootId: string): void {
  const volumes = [...leases, ...otherLeases].filter((lease) => lease.bootId === bootId)
  if (volumes.length === 0) return
  const named = volumes.slice(0, MAX_NAMED).map(({ target }) => `\n  ${target}`)
  const more = volumes.length > MAX_NAMED ? `\n  and ${volumes.length - MAX_NAMED} more` : ''
  throw new CodedError(
    'CONFLICT',
    `Cannot remove "${directory}": ${counted(volumes.length, 'volume')} of this node may still be in use; delete the pods while the driver runs, or reboot the node:${named.join('')}${more}`,
  )
}

/** In every mount namespace there is: a container may be the last to have a mount. */
function refuseMounts(directory: string): void {
  const own = readFileSync('/proc/self/mountinfo', 'utf8')
  const namespaces = new Set<string>()
  let mounts = 0
  for (const pid of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`)
      if (namespaces.has(namespace)) continue
      namespaces.add(namespace)
      const text = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      const shown = createStoreMounts(
        directory,
        () => text,
        () => own,
      )
      // What was found damaged is shown from there.
      mounts += shown.count() + (shown.show(join(directory, 'trash')) ? 1 : 0)
    } catch (error) {
      // It has ended; or it may not be looked at even by root here, as in a container: leases tell of what it may show.
      if (!isSystemError(error, 'ENOENT', 'ESRCH', 'EINVAL', 'EACCES', 'EPERM')) throw error
    }
  }
  if (mounts === 0) return
  throw new CodedError(
    'CONFLICT',
    `Cannot remove "${directory}": ${counted(mounts, 'mount')} of this node ${mounts === 1 ? 'shows' : 'show'} what is in it; end the pods that have them, or reboot the node`,
  )
}
