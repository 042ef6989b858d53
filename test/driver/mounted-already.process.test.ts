import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { detach, mountsAt, shareMount, whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello' }] })

// A driver that is killed between mounting and writing so leaves this; so does a lease that is lost.
test('a mount of the volume that no lease knows is taken up, not mounted over', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/hello:v1', HELLO)
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const request = await node.request('pod-1', `${registry.host}/acme/hello:v1`)
  await driver.csi.nodePublishVolume(request)
  const [mount] = await mountsAt(request.target_path)
  const leases = `${node.storeDirectory}/volumes`
  const written = await readdir(leases)
  for (const name of written) await rm(`${leases}/${name}`)

  expect(await driver.csi.nodePublishVolume(request)).toEqual({})
  expect(await mountsAt(request.target_path)).toEqual([mount])
  expect(await readdir(leases)).toEqual(written)
  await driver.csi.nodeUnpublishVolume(request)
  expect(await mountsAt(request.target_path)).toEqual([])
})

test('what somebody else has mounted at the target is ALREADY_EXISTS, and stays', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/hello:v1', HELLO)
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const request = await node.request('pod-1', `${registry.host}/acme/hello:v1`)
  const target = request.target_path
  await mkdir(target)
  await shareMount(target)
  try {
    await writeFile(`${target}/theirs`, '')
    const before = await mountsAt(target)
    const failure = driver.csi.nodePublishVolume(request)
    await expect(failure).rejects.toMatchObject({
      code: status.ALREADY_EXISTS,
      details: `Cannot publish volume "${request.volume_id}": something else is mounted at "${target}"; unpublish it first`,
    })
    expect(await mountsAt(target)).toEqual(before)
    expect(await readdir(target)).toEqual(['theirs'])
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  } finally {
    await detach(target)
  }
})
