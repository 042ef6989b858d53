import { expect, test } from 'vitest'
import { createStoreMounts } from '../../../driver/volume/store-mounts.ts'

const [A, B] = ['a'.repeat(64), 'b'.repeat(64)]
const DISK = '25 1 8:1 / / rw - ext4 /dev/sda1 rw'

/** A store at `/tmp` of a machine with these mounts. */
function mountsOf(...lines: readonly string[]) {
  return createStoreMounts('/tmp', () => [DISK, ...lines, ''].join('\n'))
}

test.for([
  [
    'a bind mount of a tree, with a space in its target',
    `30 25 8:1 /tmp/trees/${A}/root /pods/a\\040b ro - ext4 /dev/sda1 rw`,
    { mountPoint: '/pods/a b', kind: 'tree', key: A, writable: false },
  ],
  [
    'a bind mount of a view of a driver with another format',
    `30 25 8:1 /tmp/format-2/views/${B}/root /pods/a ro - ext4 /dev/sda1 rw`,
    { mountPoint: '/pods/a', kind: 'view', key: B, writable: false },
  ],
  [
    'an overlay over a tree',
    `30 25 0:99 / /pods/a rw - overlay oras rw,lowerdir=/tmp/trees/${A}/root,upperdir=/tmp/volumes/x/up,workdir=/w`,
    { mountPoint: '/pods/a', kind: 'tree', key: A, writable: true },
  ],
] as const)('%s is a mount of the store', ([, line, expected]) => {
  const mounts = mountsOf(line)
  expect(mounts.list()).toEqual([expected])
  expect([...mounts.keys()]).toEqual([expected.key])
})

test.for([
  ['a subPath, which is the mount of a container', `/tmp/trees/${A}/root/lib`, [A]],
  ['of the same path elsewhere on the disk', `/backup/tmp/trees/${A}/root`, []],
  ['something in the trash', '/tmp/trash/0123/root', []],
] as const)('%s is no volume', ([, root, held]) => {
  const mounts = mountsOf(`30 25 8:1 ${root} /pods/a ro - ext4 /dev/sda1 rw`)
  expect(mounts.list()).toEqual([])
  expect([...mounts.keys()]).toEqual(held)
})
