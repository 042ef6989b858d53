import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { artifact, directoryLayer, load } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import type { PublishRequest } from '../support/kubelet.ts'
import { mountsAt, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/*
 * What the Go project oras-csi got wrong. Of its failure modes these have their tests elsewhere: a tag that moved, read-only that does not reach the pod, and the
 * unpublish of the unknown in publish.process.test.ts.
 */

const why = await whyNoMounts()
const BLOB = /\/blobs\//

describe('a directory that exists and is incomplete', () => {
  const MANY = Array.from({ length: 20 }, (_, at) => [`f${at}`, `content ${at}`] as const)
  const PACKED = artifact({
    layers: [
      directoryLayer(
        'packed',
        MANY.map(([path, content]) => ({ path, content })),
      ),
      { title: 'beside', content: 'beside' },
    ],
  })
  const ALL = Object.fromEntries([
    ['beside', 'beside'],
    ...MANY.map(([path, content]) => [`packed/${path}`, content]),
  ])

  test('in the place of the tree is made anew, and no pod sees it', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    load(registry, 'acme/packed:v1', PACKED)
    await using node = await startNode(registry)
    const volume = await node.request('pod', `${registry.host}/acme/packed:v1`)
    let damaged: string
    {
      await using driver = await node.startDriver()
      await driver.csi.nodePublishVolume(volume)
      await driver.csi.nodeUnpublishVolume(volume)
      const [key] = await readdir(`${node.storeDirectory}/trees`)
      damaged = `${node.storeDirectory}/trees/${key}`
    }
    // As a pull leaves it that writes straight to where pods look, and is killed.
    await rm(`${damaged}/meta.json`)
    await rm(`${damaged}/root/packed/f7`)
    await rm(`${damaged}/root/beside`)

    await using driver = await node.startDriver()
    await expectShown(driver, volume, ALL)
  })

  test('in the place of the volume is mounted over', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    load(registry, 'acme/packed:v1', PACKED)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const volume = await node.request('pod', `${registry.host}/acme/packed:v1`)
    await mkdir(volume.target_path)
    await expectShown(driver, volume, ALL)
  })
})

test('"a.b/c" and "a-b/c", and other names that differ by a sign, are never taken for one another', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const names = [
    'a.b/c:v1',
    'a-b/c:v1',
    'a/b/c:v1',
    'a_b/c:v1',
    'a.b/c:v-1',
    'a.b/c:v.1',
    'a.b-c:v1',
  ]
  const volumes = await Promise.all(
    names.map(async (name, at) => {
      load(registry, name, artifact({ layers: [{ title: 'name', content: name }] }))
      const volume = await node.request(`pod-${at}`, `${registry.host}/${name}`)
      await driver.csi.nodePublishVolume(volume)
      return volume
    }),
  )
  const shown = volumes.map(({ target_path }) => readFile(`${target_path}/name`, 'utf8'))
  expect(await Promise.all(shown)).toEqual(names)
  for (const volume of volumes) await driver.csi.nodeUnpublishVolume(volume)
})

test('":" and "," in the paths of the store, of files and of the volume are characters like any other', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  const layers = [
    { title: 'a:b/c,d:e.txt', content: 'titled' },
    directoryLayer('x:y', [{ path: 'z\\:,=.txt', content: 'packed' }]),
  ]
  load(registry, 'acme/colons:v1', artifact({ layers }))
  await using node = await startNode(registry)
  await using elsewhere = await temporaryDirectory()
  await using driver = await node.startDriver({
    args: ['--store-directory', elsewhere.file('s:t,o=re')],
  })
  const reference = `${registry.host}/acme/colons:v1`
  await expectShown(driver, await node.request('whole', reference), {
    'a:b/c,d:e.txt': 'titled',
    'x:y/z\\:,=.txt': 'packed',
  })
  await expectShown(
    driver,
    await node.request('placed', reference, { attributes: { 'oras.artifact.path': 'p:q,r' } }),
    { 'p:q,r/a:b/c,d:e.txt': 'titled', 'p:q,r/x:y/z\\:,=.txt': 'packed' },
  )
})

test('a volume that nobody asked to be writable is read-only, whatever the request says of it', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  load(registry, 'acme/app:v1', artifact({ layers: [{ title: 'app', content: 'app' }] }))
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const volume = {
    ...(await node.request('pod', `${registry.host}/acme/app:v1`)),
    readonly: false,
    volume_capability: { mount: { fs_type: '' }, access_mode: { mode: 'MULTI_NODE_MULTI_WRITER' } },
  }
  await expectShown(driver, volume, { app: 'app' })
})

test('a second pod that comes while the first one pulls waits for all of it, and pulls nothing', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  const layers = ['first', 'second'].map((title) => ({ title, content: `the ${title} file` }))
  const built = artifact({ layers })
  load(registry, 'acme/two:v1', built)
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const { digest } = describedLayer(built.manifest, 1)
  using gate = registry.hold({ method: 'GET', path: new RegExp(`/blobs/${digest}$`) })
  const [one, other] = [await requestFor(node, 'one'), await requestFor(node, 'other')]
  const pulling = driver.csi.nodePublishVolume(one)
  await gate.arrived
  let isAnswered = false
  const waiting = driver.csi.nodePublishVolume(other).finally(() => {
    isAnswered = true
  })
  // What a volume is to hold is written down before anything of it is pulled.
  await poll(async () => (await readdir(`${node.storeDirectory}/volumes`)).length === 2, {
    ...{ deadlineMs: 10_000, what: 'both leases' },
  })
  expect(await mountsAt(other.target_path)).toEqual([])
  expect(isAnswered).toBe(false)

  gate.release()

  await Promise.all([pulling, waiting])
  for (const { target_path } of [one, other]) {
    for (const { title, content } of layers) {
      expect(await readFile(`${target_path}/${title}`, 'utf8')).toBe(content)
    }
  }
  expect(registry.count('GET', BLOB)).toBe(layers.length)
  for (const volume of [one, other]) await driver.csi.nodeUnpublishVolume(volume)

  function requestFor(on: TestNode, pod: string) {
    return on.request(pod, `${registry.host}/acme/two:v1`)
  }
})

function describedLayer(manifest: Buffer, at: number): { readonly digest: string } {
  return JSON.parse(manifest.toString()).layers[at]
}

/** Publishes, looks at every file, tries to write, and unpublishes. */
async function expectShown(
  { csi }: TestDriver,
  volume: PublishRequest,
  expected: Readonly<Record<string, string>>,
): Promise<void> {
  await csi.nodePublishVolume(volume)
  try {
    const { target_path } = volume
    const entries = await readdir(target_path, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile())
    const found = files.map(async ({ parentPath, name }) => {
      const path = `${parentPath}/${name}`
      return [path.slice(target_path.length + 1), await readFile(path, 'utf8')] as const
    })
    expect(Object.fromEntries(await Promise.all(found))).toEqual(expected)
    for (const path of ['new', ...Object.keys(expected)]) {
      const written = writeFile(`${target_path}/${path}`, '')
      await expect(written).rejects.toMatchObject({ code: 'EROFS' })
    }
  } finally {
    await csi.nodeUnpublishVolume(volume)
  }
}
