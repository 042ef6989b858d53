import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isCodedError, isSystemError, messageOf } from '../common/errors.ts'
import { readHostsDirectory } from '../common/oci/hosts-directory.ts'
import { ADMIN_PATHS, parsePruneAnswer } from '../driver/admin/admin-message.ts'
import { readFreeSpace } from '../driver/linux/free-space.ts'
import { formatBytes } from '../driver/pull/format-progress.ts'
import { readInventory } from '../driver/store/inventory.ts'
import { askDriver } from './admin-client.ts'
import { checkStore } from './cache-store.ts'
import { type CheckFinding, command, fail, listed, ok, warn } from './check-finding.ts'
import type { CheckGroup } from './check-text.ts'
import { counted } from './text-table.ts'

/** Which parts of a node are looked at. */
export interface NodePlaces {
  /** The driver's --hosts-directory. */
  readonly hosts: string
  /** The driver's --store-directory. */
  readonly store: string
}

/** Below this much free space the driver and the kubelet both are about to evict; the kubelet's own mark is 10 percent. */
const LEAST_FREE = 0.1
/** A driver that is busy with a large prune still answers within this. */
const ANSWER_MS = 30_000

/** Looks at what the driver has on this node, from inside its pod or as root on the node. Changes nothing. */
export async function checkNode(
  places: NodePlaces,
  signal: AbortSignal,
): Promise<readonly CheckGroup[]> {
  return [
    { title: 'Registries', findings: await checkHosts(places.hosts) },
    { title: 'Store', findings: await checkNodeStore(places.store, signal) },
  ]
}

async function checkHosts(directory: string): Promise<readonly CheckFinding[]> {
  let registries: readonly string[]
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    registries = entries.filter((entry) => !entry.isFile()).map(({ name }) => name)
  } catch (error) {
    if (!isSystemError(error)) throw error
    return error.code === 'ENOENT'
      ? [ok(`There is no ${directory}: registries are asked by their own names`)]
      : [fail(`Cannot read ${directory}: ${error.message}`, command('ls', '-ld', directory))]
  }
  const found = await Promise.all(registries.map((name) => checkRegistry(join(directory, name))))
  const findings = found.flat()
  if (findings.length > 0) return findings
  const noun = registries.length === 1 ? 'registry' : 'registries'
  return [ok(`The settings of ${registries.length} ${noun} in ${directory} can be read`)]
}

async function checkRegistry(directory: string): Promise<readonly CheckFinding[]> {
  const registry = directory.slice(directory.lastIndexOf('/') + 1)
  const todo = command(
    'oras-csi',
    'registry',
    'check',
    `${registry.replace(/_(\d+)_$/, ':$1')}/REPOSITORY:TAG`,
  )
  try {
    const configuration = await readHostsDirectory(directory)
    if (configuration === undefined) return []
    return configuration.warnings.map((text) => warn(`${configuration.path}: ${text}`, todo))
  } catch (error) {
    if (!isCodedError(error) && !isSystemError(error)) throw error
    return [fail(`Pulls from ${registry} fail: ${messageOf(error)}`, todo)]
  }
}

async function checkNodeStore(
  directory: string,
  signal: AbortSignal,
): Promise<readonly CheckFinding[]> {
  try {
    await checkStore(directory)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    return [fail(error.message, 'kubectl --namespace oras-csi-node get pods --output wide')]
  }
  return [
    ...(await checkRecords(directory)),
    checkSpace(directory),
    await checkDriver(directory, signal),
  ]
}

async function checkRecords(directory: string): Promise<readonly CheckFinding[]> {
  const { trees, views, blobs, unreadable } = await readInventory(directory)
  if (unreadable.length > 0) {
    return [
      warn(
        `The store ${directory} has records that cannot be read: ${listed(unreadable)}`,
        'oras-csi cache verify',
      ),
    ]
  }
  const content = [
    counted(trees.length, 'tree'),
    counted(views.length, 'view'),
    counted(blobs.length, 'blob'),
  ]
  return [ok(`The store ${directory} can be read: ${content.join(', ')}`)]
}

function checkSpace(directory: string): CheckFinding {
  const { bytes, totalBytes, inodes, totalInodes } = readFreeSpace(directory)
  const free = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
  if (bytes < totalBytes * LEAST_FREE) {
    return warn(`The store's file system has ${free} left`, 'oras-csi cache prune')
  }
  if (Number.isFinite(inodes) && inodes < totalInodes * LEAST_FREE) {
    return warn(
      `The store's file system has ${inodes} of ${totalInodes} inodes left`,
      'oras-csi cache prune',
    )
  }
  return ok(`The store's file system has ${free} left`)
}

/** Asks what a prune of all that was unused since 1970 would remove: nothing. */
async function checkDriver(directory: string, signal: AbortSignal): Promise<CheckFinding> {
  try {
    await askDriver({
      ...{ directory, path: ADMIN_PATHS.prune, parse: parsePruneAnswer },
      body: { usedBefore: 0, isDryRun: true },
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    })
    return ok('The driver answers on its admin socket')
  } catch (error) {
    signal.throwIfAborted()
    return fail(
      `The driver does not answer on its admin socket: ${messageOf(error)}`,
      'kubectl --namespace oras-csi-node logs --selector app.kubernetes.io/component=driver',
    )
  }
}
