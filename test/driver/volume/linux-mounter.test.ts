import { expect, test } from 'vitest'
import { hasMountSetattr } from '../../../driver/linux/mount.ts'
import { createCloneMounter, createStagedMounter } from '../../../driver/volume/linux-mounter.ts'
import { describeMounter } from './mounter.conformance.ts'

describeMounter('the mounter for Linux 5.12 and later', async () => createCloneMounter())
describeMounter('the mounter for older kernels', async (directory) =>
  createStagedMounter(directory),
)

test('this kernel has mount_setattr, which the first of them needs', () => {
  expect(hasMountSetattr()).toBe(true)
})
