import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { type PublishRequest, register } from '../support/kubelet.ts'
import { mountsAt, whyNoMounts } from '../support/mounts.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const OFTEN = ['--recovery-interval', '200ms', '--log-level', 'debug']

interface Scene extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly node: TestNode
}

async function startScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  await push(
    registry.url,
    'acme/hello:v1',
    artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] }),
  )
  const node = stack.use(await startNode(registry))
  const made = stack.move()
  return { registry, node, [Symbol.asyncDispose]: () => made.disposeAsync() }
}

function request({ node, registry }: Scene, pod: string): Promise<PublishRequest> {
  return node.request(pod, `${registry.host}/acme/hello:v1`)
}

function podDirectory({ node }: Scene, pod: string): string {
  return `${node.kubeletDir}/pods/uid-${pod}`
}

/** As a kubelet leaves it that has done with a pod, and could not remove its volumes. */
async function endPod(scene: Scene, pod: string): Promise<void> {
  await rm(`${podDirectory(scene, pod)}/plugins`, { recursive: true })
}

function isLook(orphans?: number) {
  return ({ json }: { readonly json: Readonly<Record<string, unknown>> | undefined }) =>
    json?.['msg'] === 'compared volumes and pods' &&
    (orphans === undefined || json['orphans'] === orphans)
}

/** Waits until volumes and pods have been compared so many times more. */
async function looks(driver: TestDriver, count: number, orphans?: number): Promise<void> {
  const { lines } = driver.process
  const before = lines.filter(isLook(orphans)).length
  let seen = 0
  await driver.process.waitForLine((line) => isLook(orphans)(line) && ++seen >= before + count)
}

function leaseFiles({ node }: Scene): Promise<readonly string[]> {
  return readdir(`${node.storeDirectory}/volumes`)
}

describe('a volume whose pod is gone', () => {
  test('is ended at the second look, and those of other pods stay', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver({ args: OFTEN })
    const [orphan, forgotten, running] = [
      await request(scene, 'orphan'),
      await request(scene, 'forgotten'),
      await request(scene, 'running'),
    ]
    for (const one of [orphan, forgotten, running]) await driver.csi.nodePublishVolume(one)
    await looks(driver, 2)
    expect((await mountsAt(orphan.target_path)).length).toBe(1)

    await endPod(scene, 'orphan')
    await endPod(scene, 'forgotten')
    await rm(`${scene.node.storeDirectory}/volumes/${forgotten.volume_id}.json`, { force: true })
    for (const { target_path } of [orphan, forgotten]) {
      await driver.process.waitForLine(
        ({ json }) =>
          json?.['msg'] === 'ended a volume whose pod is gone' && json['target'] === target_path,
      )
    }

    for (const { target_path } of [orphan, forgotten]) {
      expect(await mountsAt(target_path)).toEqual([])
      await expect(stat(target_path)).rejects.toMatchObject({ code: 'ENOENT' })
    }
    expect(await leaseFiles(scene)).toEqual([`${running.volume_id}.json`])
    const messages = driver.process.lines.map(({ json }) => json?.['msg'])
    const first = driver.process.lines.findIndex((line) => isLook()(line) && !isLook(0)(line))
    expect(first).toBeGreaterThan(0)
    expect(messages.indexOf('ended a volume whose pod is gone')).toBeGreaterThan(first)
    expect(await readFile(`${running.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    await driver.csi.nodeUnpublishVolume(running)
  })

  test('and that was never mounted loses its lease, which holds content for nobody', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver({ args: OFTEN })
    const [orphan, running] = [await request(scene, 'orphan'), await request(scene, 'running')]
    await driver.csi.nodePublishVolume(running)
    const lease = JSON.parse(
      await readFile(`${scene.node.storeDirectory}/volumes/${running.volume_id}.json`, 'utf8'),
    )
    await writeFile(
      `${scene.node.storeDirectory}/volumes/${orphan.volume_id}.json`,
      JSON.stringify({
        ...lease,
        volumeId: orphan.volume_id,
        target: orphan.target_path,
        mounted: false,
      }),
    )
    await rm(podDirectory(scene, 'orphan'), { recursive: true })
    await looks(driver, 1, 1)
    await looks(driver, 1, 0)
    expect(await leaseFiles(scene)).toEqual([`${running.volume_id}.json`])
    await driver.csi.nodeUnpublishVolume(running)
  })

  test('at one look, and there again at the next, is left alone', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver({
      args: ['--recovery-interval', '1500ms', '--log-level', 'debug'],
    })
    const [flickering, running] = [
      await request(scene, 'flickering'),
      await request(scene, 'running'),
    ]
    await driver.csi.nodePublishVolume(flickering)
    await driver.csi.nodePublishVolume(running)
    await endPod(scene, 'flickering')
    await looks(driver, 1, 1)
    expect((await mountsAt(flickering.target_path)).length).toBe(1)
    await mkdir(`${podDirectory(scene, 'flickering')}/plugins`)
    await looks(driver, 1, 0)
    await endPod(scene, 'flickering')
    await looks(driver, 1, 1)
    await mkdir(`${podDirectory(scene, 'flickering')}/plugins`)
    await looks(driver, 1, 0)
    expect((await mountsAt(flickering.target_path)).length).toBe(1)
    await driver.csi.nodeUnpublishVolume(flickering)
    await driver.csi.nodeUnpublishVolume(running)
  })
})

describe('what may not be the kubelet that pods belong to', () => {
  test('a wrong --kubelet-directory unmounts nothing, although the store is the right one', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const { node } = scene
    const published = await request(scene, 'app')
    {
      await using first = await node.startDriver()
      await first.csi.nodePublishVolume(published)
    }
    await using other = await startNode(scene.registry)
    await mkdir(`${other.kubeletDir}/pods/uid-other/plugins`, { recursive: true })
    await using wrong = await other.startDriver({
      args: [...OFTEN, '--store-directory', node.storeDirectory],
    })
    await looks(wrong, 3)
    expect(await readFile(`${published.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    expect(await leaseFiles(scene)).toEqual([`${published.volume_id}.json`])
    await wrong.process[Symbol.asyncDispose]()

    await using right = await node.startDriver()
    await right.csi.nodeUnpublishVolume(published)
  })

  test('a root where every pod seems gone, and one that no kubelet has called from: nothing is concluded', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const { node } = scene
    await using driver = await node.startDriver({ args: OFTEN, registered: false })
    const published = await request(scene, 'app')
    await driver.csi.nodePublishVolume(published)
    await endPod(scene, 'app')
    const alive = `${podDirectory(scene, 'alive')}/plugins`
    await mkdir(alive, { recursive: true })
    await looks(driver, 3, 1)
    expect((await mountsAt(published.target_path)).length).toBe(1)

    await rm(alive, { recursive: true })
    await register(`${node.kubeletDir}/plugins_registry`)
    await looks(driver, 3, 1)
    expect((await mountsAt(published.target_path)).length).toBe(1)
    expect(
      new Set(
        driver.process.lines.flatMap(({ json }) => (isLook(1)({ json }) ? json?.['doubt'] : [])),
      ),
    ).toEqual(
      new Set([
        'the kubelet has not registered the driver',
        `"${node.kubeletDir}/pods" has no other pod`,
      ]),
    )

    await mkdir(alive)
    await looks(driver, 1, 0)
    expect(await mountsAt(published.target_path)).toEqual([])
  })
})

describe('a mount without a lease', () => {
  test('of a pod that is there is taken up: held, published again, unpublished', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const { node } = scene
    const published = await request(scene, 'app')
    {
      await using first = await node.startDriver()
      await first.csi.nodePublishVolume(published)
    }
    const lease = `${node.storeDirectory}/volumes/${published.volume_id}.json`
    const before = JSON.parse(await readFile(lease, 'utf8'))
    await writeFile(lease, '')

    await using driver = await node.startDriver({ args: OFTEN })
    await looks(driver, 1)
    expect(JSON.parse(await readFile(lease, 'utf8'))).toEqual({
      ...before,
      pod: { namespace: '', name: '', uid: 'uid-app' },
      requestHash: '',
      sources: [],
    })
    // A kubelet that restarted asks for it again; that it is gone from the registry does not end what runs.
    const absent = {
      ...published.volume_context,
      'oras.artifact.reference': `${scene.registry.host}/acme/absent:v1`,
    }
    await expect(
      driver.csi.nodePublishVolume({ ...published, volume_context: absent }),
    ).rejects.toMatchObject({ code: status.NOT_FOUND })
    expect(JSON.parse(await readFile(lease, 'utf8'))).toMatchObject({ trees: before.trees })
    await driver.csi.nodePublishVolume(published)
    expect(JSON.parse(await readFile(lease, 'utf8'))).toEqual(before)
    expect((await mountsAt(published.target_path)).length).toBe(1)
    await driver.csi.nodeUnpublishVolume(published)
    expect(await leaseFiles(scene)).toEqual([])
  })
})

describe('a node that was rebooted', () => {
  test('has no mounts: leases of another boot are dropped at the start, those of this one are not', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const { node } = scene
    const [stale, running] = [await request(scene, 'stale'), await request(scene, 'running')]
    {
      await using first = await node.startDriver()
      await first.csi.nodePublishVolume(stale)
      await first.csi.nodeUnpublishVolume(stale)
      await first.csi.nodePublishVolume(running)
    }
    const lease = `${node.storeDirectory}/volumes/${running.volume_id}.json`
    const before = JSON.parse(await readFile(lease, 'utf8'))
    await writeFile(
      `${node.storeDirectory}/volumes/${stale.volume_id}.json`,
      JSON.stringify({
        ...before,
        volumeId: stale.volume_id,
        target: stale.target_path,
        bootId: 'another',
      }),
    )
    await using second = await node.startDriver()
    await second.process.waitForLine(
      ({ json }) =>
        json?.['msg'] === 'recovered leases' && json['kept'] === 1 && json['dropped'] === 1,
    )
    expect(await leaseFiles(scene)).toEqual([`${running.volume_id}.json`])
    await second.csi.nodeUnpublishVolume(running)
  })
})
