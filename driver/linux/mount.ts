import { closeSync } from 'node:fs'
import { isSystemError } from '../../common/errors.ts'
import { systemCall, systemCallInBackground } from './libc.ts'
import { systemCallNumbers } from './system-calls.ts'

const numbers = systemCallNumbers()

// include/uapi/linux/mount.h and fcntl.h
const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const AT_SYMLINK_NOFOLLOW = 0x100
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2000000
const MOVE_MOUNT_F_EMPTY_PATH = 0x4
const MOUNT_ATTR_RDONLY = 0x1n
const MOUNT_ATTR_NOSUID = 0x2n
const MOUNT_ATTR_NODEV = 0x4n
const MS_RDONLY = 1
const MS_NOSUID = 2
const MS_NODEV = 4
const MS_REMOUNT = 32
const MS_BIND = 4096
const MS_PRIVATE = 1 << 18
const UMOUNT_NOFOLLOW = 8

const openTreeCall = systemCall('open_tree', numbers.open_tree, ['int', 'const char *', 'uint'])
const moveMountCall = systemCall('move_mount', numbers.move_mount, [
  'int',
  'const char *',
  'int',
  'const char *',
  'uint',
])
const mountSetattrCall = systemCall('mount_setattr', numbers.mount_setattr, [
  'int',
  'const char *',
  'uint',
  'void *',
  'size_t',
])
const mountCall = systemCall('mount', numbers.mount, [
  'const char *',
  'const char *',
  'const char *',
  'ulong',
  'const char *',
])
const umountCall = systemCall('umount2', numbers.umount2, ['const char *', 'int'])
const umountInBackgroundCall = systemCallInBackground('umount2', numbers.umount2, [
  'const char *',
  'int',
])

/**
 * Bind-mounts a directory so that the mount is read-only, nosuid and nodev from the moment it appears.
 *
 * A bind mount that is remounted read-only afterwards stays writable in the mount namespaces it has already propagated to:
 * those of the host and of the pod. Here a detached clone gets its flags first and is then moved into place. Needs Linux 5.12.
 *
 * @throws ENOSYS on older kernels, or what the kernel says; nothing is mounted then
 */
export function attachReadOnlyClone(source: string, target: string): void {
  const tree = openTreeCall(
    AT_FDCWD,
    source,
    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW,
  )
  try {
    // struct mount_attr { attr_set, attr_clr, propagation, userns_fd }
    const attributes = new BigUint64Array([
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
      0n,
      BigInt(MS_PRIVATE),
      0n,
    ])
    mountSetattrCall(tree, '', AT_EMPTY_PATH, attributes, attributes.byteLength)
    moveMountCall(tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
  } finally {
    // Closing a detached tree that was not moved dissolves it.
    closeSync(tree)
  }
}

/** Bind-mounts `source` on `target`, with the flags that the mount of `source` has. */
export function bindMount(source: string, target: string): void {
  mountCall(source, target, null, MS_BIND, null)
}

/**
 * Mounts an overlay, nosuid and nodev from the moment it appears.
 *
 * @param options e.g. `lowerdir=/l,upperdir=/u,workdir=/w`; the kernel cuts them at 4095 bytes
 * @throws EINVAL for an option that this kernel does not know, or directories that cannot be laid over each other
 */
export function mountOverlay(target: string, options: string): void {
  mountCall('overlay', target, 'overlay', MS_NOSUID | MS_NODEV, options)
}

/** Makes a bind mount read-only, nosuid and nodev, in this mount namespace only. */
export function remountReadOnly(target: string): void {
  mountCall(null, target, null, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, null)
}

/** Stops a mount from propagating to, and receiving from, other mount namespaces. */
export function makePrivate(target: string): void {
  mountCall(null, target, null, MS_PRIVATE, null)
}

/**
 * Unmounts the topmost mount at `target`, not following a symbolic link there.
 *
 * @throws EINVAL when `target` is no mount, ENOENT when it does not exist, EBUSY when it is in use
 */
export function unmount(target: string): void {
  umountCall(target, UMOUNT_NOFOLLOW)
}

/**
 * The same as {@link unmount}, on another thread: the kernel forgets every name that was looked up in an overlay before it returns, a second's work where
 * there were millions. Answers whether it was unmounted.
 */
export async function unmountInBackground(target: string): Promise<boolean> {
  try {
    await umountInBackgroundCall(target, UMOUNT_NOFOLLOW)
    return true
  } catch {
    // The reason is the other thread's; asked again on this one, the kernel says it.
    return false
  }
}

/** Answers whether this kernel has what {@link attachReadOnlyClone} needs (Linux 5.12, and no filter that hides it). */
export function hasMountSetattr(): boolean {
  const attributes = new BigUint64Array(4)
  try {
    mountSetattrCall(-1, '', AT_EMPTY_PATH, attributes, attributes.byteLength)
  } catch (error) {
    // A kernel that has the call finds fault with the descriptor.
    return isSystemError(error, 'EBADF')
  }
  return true
}
