import { spawn } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { systemCall } from '../../driver/linux/libc.ts'
import { systemCallNumbers } from '../../driver/linux/system-calls.ts'
import { detach } from './mounts.ts'

const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE_CLONE = 1
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_IDMAP = 0x00100000n

const numbers = systemCallNumbers()
const openTree = systemCall('open_tree', numbers.open_tree, ['int', 'const char *', 'uint'])
const mountSetattr = systemCall('mount_setattr', numbers.mount_setattr, [
  'int',
  'const char *',
  'uint',
  'void *',
  'size_t',
])
const moveMount = systemCall('move_mount', numbers.move_mount, [
  'int',
  'const char *',
  'int',
  'const char *',
  'uint',
])

/** What a pod's user namespace maps root to here: as the kubelet does, a range far above the host's users. */
export const POD_ROOT = 100_000

/**
 * Mounts what is at `source` at `target` as the container runtime does for a pod with `hostUsers: false`: ids of the file system are seen as those
 * of the pod's user namespace. Disposing unmounts it.
 *
 * @throws EINVAL where the file system cannot, as an overlay cannot
 */
export async function mountForUserNamespace(
  source: string,
  target: string,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const child = spawn('unshare', ['--user', 'sh', '-c', 'echo; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  stack.defer(() => {
    child.stdin.end()
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  for (const map of ['uid_map', 'gid_map']) {
    writeFileSync(`/proc/${child.pid}/${map}`, `0 ${POD_ROOT} 65536`)
  }
  const namespace = openSync(`/proc/${child.pid}/ns/user`, 'r')
  stack.defer(() => closeSync(namespace))
  const tree = openTree(AT_FDCWD, source, OPEN_TREE_CLONE)
  stack.defer(() => closeSync(tree))
  // struct mount_attr { attr_set, attr_clr, propagation, userns_fd }
  const attributes = new BigUint64Array([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(namespace)])
  mountSetattr(tree, '', AT_EMPTY_PATH, attributes, attributes.byteLength)
  moveMount(tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
  return { [Symbol.asyncDispose]: () => detach(target) }
}
