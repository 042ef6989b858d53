import { expect, test } from 'vitest'
import type { Lease } from '../../../driver/store/leases.ts'
import { createLeaseWriter } from '../../../driver/volume/lease-writer.ts'

const LEASE: Lease = {
  volumeId: 'v',
  target: '/t',
  pod: { namespace: 'n', name: 'p', uid: 'u' },
  requestHash: 'h',
  sources: [],
  trees: [],
  views: [],
  mounted: false,
  bootId: 'b',
}

test('changes made while one is being written are written together, in order, and each is on disk when it says so', async () => {
  const written: (readonly string[])[] = []
  const { promise: disk, resolve: diskIsFree } = Promise.withResolvers<void>()
  const writer = createLeaseWriter(
    {
      async put(lease) {
        if (written.length === 0) await disk
        written.push(lease.trees)
      },
    },
    LEASE,
  )
  const add = async (tree: string) => {
    await writer.change((lease) => ({ ...lease, trees: [...lease.trees, tree] }))
    expect(written.at(-1)).toContain(tree)
  }
  const first = add('a')
  // The first is under way by now.
  await Promise.resolve()
  await Promise.resolve()
  const others = [add('b'), add('c'), add('d')]
  diskIsFree()
  await Promise.all([first, ...others])
  expect(written).toEqual([['a'], ['a', 'b', 'c', 'd']])
  expect(writer.lease.trees).toEqual(['a', 'b', 'c', 'd'])
})

test('a write that fails is told to those who wait for it, and the next is tried', async () => {
  let isFull = true
  const writer = createLeaseWriter(
    {
      async put() {
        if (isFull) throw new Error('disk full')
      },
    },
    LEASE,
  )
  await expect(writer.change((lease) => ({ ...lease, trees: ['a'] }))).rejects.toThrow('disk full')
  isFull = false
  await writer.change((lease) => ({ ...lease, mounted: true }))
  expect(writer.lease).toEqual({ ...LEASE, trees: ['a'], mounted: true })
})
