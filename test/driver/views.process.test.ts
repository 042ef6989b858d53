import { randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { digestHex, digestOf } from '../../common/oci/digest.ts'
import { artifact, directoryLayer, image, load } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { mountForUserNamespace, POD_ROOT } from '../support/id-mapped-mount.ts'
import { type PublishRequest, publishRequest } from '../support/kubelet.ts'
import { mountsAt, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { tarOf } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const why = await whyNoMounts()
const BLOB = /\/blobs\//

/** A volume of several sources: references, or objects with the fields of an entry. */
function request(
  node: TestNode,
  pod: string,
  sources: readonly (string | { readonly reference: string; readonly [field: string]: unknown })[],
  attributes: Readonly<Record<string, string>> = {},
): Promise<PublishRequest> {
  const list = sources.map((source) =>
    typeof source === 'string' ? { reference: source } : source,
  )
  return publishRequest({
    kubeletDir: node.kubeletDir,
    pod: { name: pod, namespace: 'default', uid: `uid-${pod}` },
    volumeName: 'app',
    attributes: { 'oras.sources': JSON.stringify(list), ...attributes },
    readOnly: true,
  })
}

/** Puts an artifact of titled files into the registry, and gives its reference. */
function add(
  registry: TestRegistry,
  name: string,
  files: Readonly<Record<string, string>>,
): string {
  const layers = Object.entries(files).map(([title, content]) => ({ title, content }))
  load(registry, `acme/${name}:v1`, artifact({ layers }))
  return `${registry.host}/acme/${name}:v1`
}

/** Content by path, of files only. */
async function contentOf(root: string): Promise<Record<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const pairs = files.map(async ({ parentPath, name }) => {
    const path = `${parentPath}/${name}`
    return [path.slice(root.length + 1), await readFile(path, 'utf8')] as const
  })
  return Object.fromEntries((await Promise.all(pairs)).sort())
}

describe('a volume of several sources', () => {
  test.for([2, 8, 32])(
    '%d: shows every file of every source, read-only, in one bind mount',
    async (count, context) => {
      skipUnless(context, why)
      await using registry = await startRegistry()
      await using node = await startNode(registry)
      await using driver = await node.startDriver()
      const expected = new Map<string, string>()
      const references = Array.from({ length: count }, (_, index) => {
        const files = {
          [`own-${index}/titled.txt`]: randomBytes(20).toString('hex'),
          [`shared/of-${index}.txt`]: randomBytes(20).toString('hex'),
          'patched.txt': `by ${index}`,
        }
        const unpacked = {
          'deep/packed.txt': `packed ${index}`,
          'patched.txt': `unpacked ${index}`,
        }
        for (const [path, content] of Object.entries(files)) expected.set(path, content)
        for (const [path, content] of Object.entries(unpacked))
          expected.set(`dir-${index % 3}/${path}`, content)
        load(
          registry,
          `acme/source-${index}:v1`,
          artifact({
            layers: [
              ...Object.entries(files).map(([title, content]) => ({ title, content })),
              directoryLayer(`dir-${index % 3}`, [
                { path: 'deep', type: 'directory' as const },
                ...Object.entries(unpacked).map(([path, content]) => ({ path, content })),
              ]),
            ],
          }),
        )
        return `${registry.host}/acme/source-${index}:v1`
      })
      const volume = await request(node, 'pod', references)

      await driver.csi.nodePublishVolume(volume)

      const found = await contentOf(volume.target_path)
      expect(found).toEqual(Object.fromEntries([...expected].sort()))
      const mounts = await mountsAt(volume.target_path)
      expect(
        mounts.map(({ options, root }) => [
          options.slice(0, 3),
          /\/views\/[0-9a-f]{64}\/root$/.test(root),
        ]),
      ).toEqual([[['ro', 'nosuid', 'nodev'], true]])
      await expect(writeFile(`${volume.target_path}/new`, '')).rejects.toMatchObject({
        code: 'EROFS',
      })
      const bytes = [...expected.values()].reduce((sum, content) => sum + content.length, 0)
      const { usage } = await driver.csi.nodeGetVolumeStats({
        volume_id: volume.volume_id,
        volume_path: volume.target_path,
      })
      expect(usage[0]).toEqual({ unit: 'BYTES', total: bytes, used: bytes, available: 0 })
      await driver.csi.nodeUnpublishVolume(volume)
      expect((await readdir(`${node.storeDirectory}/views`)).length).toBe(1)
      expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
    },
  )

  test('two artifacts that patch one file: the later one wins, each way round', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const base = add(registry, 'base', { 'etc/conf': 'base', 'etc/kept': 'kept' })
    const patch = add(registry, 'patch', { 'etc/conf': 'patched' })
    const patched = await request(node, 'patched', [base, patch])
    const buried = await request(node, 'buried', [patch, base])
    await driver.csi.nodePublishVolume(patched)
    await driver.csi.nodePublishVolume(buried)
    expect(await contentOf(patched.target_path)).toEqual({
      'etc/conf': 'patched',
      'etc/kept': 'kept',
    })
    expect(await contentOf(buried.target_path)).toEqual({ 'etc/conf': 'base', 'etc/kept': 'kept' })
    await driver.csi.nodeUnpublishVolume(patched)
    await driver.csi.nodeUnpublishVolume(buried)
  })

  test('keeps one copy on the disk: what a pod sees is the inode of the blob', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const sources = [
      add(registry, 'a', { 'a.bin': 'content a' }),
      add(registry, 'b', { 'b.bin': 'content b' }),
    ]
    const volume = await request(node, 'pod', sources)
    await driver.csi.nodePublishVolume(volume)
    const hex = digestHex(digestOf('content a'))
    const blob = await stat(`${node.storeDirectory}/blobs/sha256/${hex.slice(0, 2)}/${hex}`)
    const seen = await stat(`${volume.target_path}/a.bin`)
    expect([seen.ino, seen.dev]).toEqual([blob.ino, blob.dev])
    // The blob, the tree, the view.
    expect(seen.nlink).toBe(3)
    await driver.csi.nodeUnpublishVolume(volume)
  })

  test('a path places a source; globs pick from titles and archives alike', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const app = add(registry, 'app', { 'app.jar': 'app', 'notes.md': 'notes' })
    load(
      registry,
      'acme/lib:v1',
      artifact({
        layers: [
          directoryLayer('lib', [
            { path: 'a.jar', content: 'a' },
            { path: 'a-sources.jar', content: 's' },
            { path: 'docs', type: 'directory' },
            { path: 'docs/guide.md', content: 'g' },
          ]),
        ],
      }),
    )
    const select = { files: ['*.jar', '!*-sources.jar'] }
    const volume = await request(node, 'pod', [
      { reference: app, select },
      { reference: `${registry.host}/acme/lib:v1`, select, path: 'opt/acme' },
    ])
    await driver.csi.nodePublishVolume(volume)
    expect(await contentOf(volume.target_path)).toEqual({
      'app.jar': 'app',
      'opt/acme/lib/a.jar': 'a',
    })
    expect(await readdir(`${volume.target_path}/opt/acme/lib`)).toEqual(['a.jar'])
    await driver.csi.nodeUnpublishVolume(volume)
  })
})

describe('a view is made once', () => {
  test('for callers that come together and for those that come later; the registry is not asked again', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const sources = [add(registry, 'a', { a: 'a' }), add(registry, 'b', { b: 'b' })]
    const together = await Promise.all(
      Array.from({ length: 20 }, (_, pod) => request(node, `pod-${pod}`, sources)),
    )
    await Promise.all(together.map((volume) => driver.csi.nodePublishVolume(volume)))
    registry.clearRequests()
    const later = await request(node, 'later', sources)
    await driver.csi.nodePublishVolume(later)
    expect(registry.requests).toEqual([])
    const { ino } = await lstat(later.target_path)
    for (const volume of together) expect((await lstat(volume.target_path)).ino).toBe(ino)
    expect(built(driver)).toBe(1)
    expect((await readdir(`${node.storeDirectory}/views`)).length).toBe(1)
    expect(await readdir(`${node.storeDirectory}/staging`)).toEqual([])
    for (const volume of [...together, later]) await driver.csi.nodeUnpublishVolume(volume)
  })

  test('also by the next driver, which knows a published volume again', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    const sources = [add(registry, 'a', { a: 'a' }), add(registry, 'b', { b: 'b' })]
    const volume = await request(node, 'pod', sources)
    {
      await using driver = await node.startDriver()
      await driver.csi.nodePublishVolume(volume)
    }
    await using driver = await node.startDriver()
    registry.clearRequests()
    await driver.csi.nodePublishVolume(volume)
    expect((await mountsAt(volume.target_path)).length).toBe(1)
    const second = await request(node, 'second', sources)
    await driver.csi.nodePublishVolume(second)
    expect(registry.requests).toEqual([])
    expect(built(driver)).toBe(0)
    await driver.csi.nodeUnpublishVolume(volume)
    await driver.csi.nodeUnpublishVolume(second)
  })
})

describe('what a failure looks like', () => {
  test('a file where another source has a directory: both are named, and nothing stays', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const a = add(registry, 'a', { 'lib/x': 'file' })
    const b = add(registry, 'b', { 'lib/x/y': 'file' })
    const volume = await request(node, 'pod', [a, b])
    expect(await failureOf(driver.csi.nodePublishVolume(volume))).toEqual([
      status.INVALID_ARGUMENT,
      `Cannot put "${a}" and "${b}" into one volume: "lib/x" is a file or link in the first and a directory in the second; give one of them another "path", or leave it out by "files"`,
    ])
    expect(await readdir(`${node.storeDirectory}/views`)).toEqual([])
    expect(await readdir(`${node.storeDirectory}/staging`)).toEqual([])
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
    expect(await mountsAt(volume.target_path)).toEqual([])
  })

  test('a source that is not there is named, and told before the slowest of the others is done', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const slow = add(registry, 'slow', { a: 'slow' })
    using _gate = registry.hold({ method: 'GET', path: BLOB })
    const volume = await request(node, 'pod', [slow, `${registry.host}/acme/none:v1`])
    const [code, message] = await failureOf(driver.csi.nodePublishVolume(volume))
    expect(code).toBe(status.NOT_FOUND)
    expect(message).toMatch(/^Cannot pull "127\.0\.0\.1:\d+\/acme\/none:v1": /)
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  })

  test('globs that select nothing: the names there are, and the nearest', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    load(
      registry,
      'acme/lib:v1',
      artifact({ layers: [directoryLayer('lib', [{ path: 'guide.md', content: 'g' }])] }),
    )
    const reference = `${registry.host}/acme/lib:v1`
    const volume = await request(node, 'pod', [{ reference, select: { files: ['gide.md'] } }])
    expect(await failureOf(driver.csi.nodePublishVolume(volume))).toEqual([
      status.INVALID_ARGUMENT,
      `Cannot use "${reference}": nothing selected: files "gide.md" match nothing; the artifact has "lib/guide.md"; did you mean "guide.md"?`,
    ])
  })

  test('a pull that takes longer than the call tells of all sources, goes on, and the next call finds it done', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const content = 'x'.repeat(1024 * 1024)
    const quick = add(registry, 'quick', { quick: 'q' })
    const slow = ['one', 'two'].map((name) => add(registry, name, { [name]: content + name }))
    const warm = await request(node, 'warm', [quick, quick])
    await driver.csi.nodePublishVolume(warm)
    using gate = registry.hold({ method: 'GET', path: BLOB })
    const volume = await request(node, 'pod', [quick, ...slow])
    const [code, message] = await failureOf(
      driver.csi.nodePublishVolume(volume, { deadlineMs: 5_000 }),
    )
    expect(code).toBe(status.ABORTED)
    expect(message).toBe(
      `Still pulling 2 of 3 sources ("${slow[0]}", "${slow[1]}"): 0 B of 2.0 MiB; the pull goes on`,
    )
    const [lease] = (await readdir(`${node.storeDirectory}/volumes`)).filter((name) =>
      name.includes(volume.volume_id),
    )
    const held = JSON.parse(await readFile(`${node.storeDirectory}/volumes/${lease}`, 'utf8'))
    expect(held.trees.length).toBe(3)
    gate.release()
    await driver.csi.nodePublishVolume(volume)
    expect(Object.keys(await contentOf(volume.target_path))).toEqual(['one', 'quick', 'two'])
    await driver.csi.nodeUnpublishVolume(volume)
    await driver.csi.nodeUnpublishVolume(warm)
  })
})

describe('subPaths', () => {
  test.for([
    ['a file', 'lib/app.jar', undefined],
    ['a directory', 'lib', undefined],
    ['a link that stays inside', 'current/app.jar', undefined],
    [
      'a name that is not there',
      'lib/ap.jar',
      [
        status.NOT_FOUND,
        'Cannot mount subPath "lib/ap.jar": directory "lib" has no "ap.jar"; did you mean "app.jar"?',
      ],
    ],
    [
      'a link of an image into the host',
      'etc/passwd',
      [
        status.INVALID_ARGUMENT,
        'Cannot mount subPath "etc/passwd": it is or crosses a symbolic link that leaves the volume; the kubelet does not mount what lies outside',
      ],
    ],
  ] as const)('%s', async ([, subPath, failure], context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const layer = tarOf([
      { path: 'etc', type: 'symlink', linkname: '/etc' },
      { path: 'current', type: 'symlink', linkname: 'lib' },
    ])
    load(registry, 'acme/image:v1', image({ layers: [layer] }))
    const lib = add(registry, 'lib', { 'lib/app.jar': 'app' })
    const volume = await request(node, 'pod', [`${registry.host}/acme/image:v1`, lib], {
      'oras.options.subpaths': subPath,
    })
    const publish = driver.csi.nodePublishVolume(volume)
    if (failure === undefined) {
      await publish
      await driver.csi.nodeUnpublishVolume(volume)
      return
    }
    expect(await failureOf(publish)).toEqual(failure)
    expect(await mountsAt(volume.target_path)).toEqual([])
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  })

  test('of a volume of one source are looked at as well', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = add(registry, 'lib', { 'lib/app.jar': 'app' })
    const attributes = { 'oras.options.subpaths': 'libs' }
    const volume = await node.request('pod', reference, { attributes })
    expect(await failureOf(driver.csi.nodePublishVolume(volume))).toEqual([
      status.NOT_FOUND,
      'Cannot mount subPath "libs": the volume has no "libs"; did you mean "lib"?',
    ])
  })
})

describe('a driver that is killed', () => {
  const MANY = 5_000

  test('when a view is complete and not visible leaves nothing of it, and the next makes it', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    const sources = [add(registry, 'a', { a: 'a' }), add(registry, 'b', { b: 'b' })]
    const volume = await request(node, 'pod', sources)
    const preload = new URL('./die-at-view-built.ts', import.meta.url).pathname
    await using doomed = await node.startDriver({ env: { NODE_OPTIONS: `--import=${preload}` } })
    await failureOf(doomed.csi.nodePublishVolume(volume))
    expect(await doomed.process.exited).toEqual({ code: null, signal: 'SIGKILL' })
    expect((await readdir(`${node.storeDirectory}/staging`)).length).toBe(1)
    await expectMadeAgain(node, volume, { a: 'a', b: 'b' })
  })

  test('in the middle of a view leaves nothing of it, and the next makes all of it', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    const entries = Array.from({ length: MANY }, (_, index) => ({
      path: `d${index % 50}/f${index}`,
      content: String(index),
    }))
    load(registry, 'acme/many:v1', artifact({ layers: [directoryLayer('many', entries)] }))
    const many = `${registry.host}/acme/many:v1`
    const volume = await request(node, 'pod', [many, add(registry, 'b', { b: 'b' })])
    await using doomed = await node.startDriver()
    // The trees are here, so that what comes next is the view alone.
    const warm = await node.request('warm', many)
    await doomed.csi.nodePublishVolume(warm)
    const failure = failureOf(doomed.csi.nodePublishVolume(volume))
    const staging = `${node.storeDirectory}/staging`
    await poll(
      async () => {
        const [id] = await readdir(staging)
        return (await readdir(`${staging}/${id}/root/many`)).length > 1
      },
      { deadlineMs: 10_000, what: 'the view to be half made' },
    )
    doomed.process.kill('SIGKILL')
    await failure
    await doomed.process.exited
    expect((await readdir(staging)).length).toBe(1)
    const files = entries.map(({ path, content }) => [`many/${path}`, content])
    await expectMadeAgain(node, volume, { b: 'b', ...Object.fromEntries(files) }, warm)
  })

  async function expectMadeAgain(
    node: TestNode,
    volume: PublishRequest,
    content: Record<string, string>,
    ...others: readonly PublishRequest[]
  ): Promise<void> {
    expect(await readdir(`${node.storeDirectory}/views`)).toEqual([])
    expect(await mountsAt(volume.target_path)).toEqual([])
    await using driver = await node.startDriver()
    expect(await readdir(`${node.storeDirectory}/staging`)).toEqual([])
    await driver.csi.nodePublishVolume(volume)
    expect(await contentOf(volume.target_path)).toEqual(content)
    for (const one of [volume, ...others]) await driver.csi.nodeUnpublishVolume(one)
  }
})

test('a view can be id-mapped as for a pod with a user namespace, and so can a tree', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  await using directory = await temporaryDirectory()
  const sources = [add(registry, 'a', { 'lib/a': 'a' }), add(registry, 'b', { 'lib/b': 'b' })]
  const view = await request(node, 'view', sources)
  const tree = await node.request('tree', sources[0] ?? '')
  for (const volume of [view, tree]) {
    await driver.csi.nodePublishVolume(volume)
    const seen = directory.file(volume.volume_id)
    await mkdir(seen)
    await using _mount = await mountForUserNamespace(volume.target_path, seen)
    const { uid, gid } = await stat(`${seen}/lib/a`)
    expect([uid, gid]).toEqual([POD_ROOT, POD_ROOT])
    expect(await readFile(`${seen}/lib/a`, 'utf8')).toBe('a')
    await expect(writeFile(`${seen}/new`, '')).rejects.toMatchObject({ code: 'EROFS' })
  }
  await driver.csi.nodeUnpublishVolume(view)
  await driver.csi.nodeUnpublishVolume(tree)
})

/** How many views this driver has made. */
function built(driver: TestDriver): number {
  return driver.process.lines.filter(({ json }) => json?.['msg'] === 'put together').length
}

async function failureOf(call: Promise<unknown>): Promise<[code: number, message: string]> {
  try {
    await call
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'details' in error) {
      return [Number(error.code), String(error.details)]
    }
    throw error
  }
  throw new Error('The call was answered OK')
}
