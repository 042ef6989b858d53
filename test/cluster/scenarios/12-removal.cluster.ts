import { readdir } from 'node:fs/promises'
import { expect, inject, test } from 'vitest'
import { readMounts } from '../../support/mounts.ts'
import { poll } from '../../support/poll.ts'
import { NODE_NAME } from '../addresses.ts'
import { NODE_PATHS, placesIn } from '../places.ts'
import { uninstall } from '../support/install.ts'
import { apiObjects, createKubectl } from '../support/kubectl.ts'
import { leases } from '../support/node-state.ts'

test('with every pod deleted there is no mount, no lease and nothing in the pods directory', async () => {
  const kubectl = createKubectl(placesIn(inject('clusterRoot')))
  expect(await leases()).toEqual([])
  expect(await csiMounts()).toEqual([])

  await uninstall(kubectl)
  await poll(async () => (await readdir(`${NODE_PATHS.kubelet}/pods`)).length === 0, {
    deadlineMs: 60_000,
    what: 'the pods directory to be empty',
  })
  expect(await csiMounts()).toEqual([])
  expect(await readdir(`${NODE_PATHS.kubelet}/plugins_registry`)).toEqual([])
})

test('kubectl delete -k manifests/ leaves the cluster as it was', async () => {
  const kubectl = createKubectl(placesIn(inject('clusterRoot')))
  expect(await apiObjects(kubectl)).toEqual(inject('objectsBefore'))
  const node = await kubectl.get('csinode', NODE_NAME)
  expect(node.spec.drivers).toBe(null)
})

async function csiMounts(): Promise<string[]> {
  const points = (await readMounts()).map(({ mountPoint }) => mountPoint)
  return points.filter(
    (point) => point.startsWith(`${NODE_PATHS.kubelet}/pods/`) && point.includes('~csi/'),
  )
}
