import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { artifact, type Built, directoryLayer, push } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import type { PublishRequest } from '../support/kubelet.ts'
import { detach, mountsAt, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startProcess } from '../support/process.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const why = await whyNoMounts()

const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })
const SITE = artifact({
  layers: [
    directoryLayer('site', [{ path: 'index.html', content: '<p>a page</p>' }]),
    { title: 'logo.svg', content: '<svg/>' },
  ],
})

interface Scene extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly node: TestNode
  readonly driver: TestDriver
  publish(pod: string, name: string, attributes?: Record<string, string>): Promise<PublishRequest>
  unpublish(...requests: readonly PublishRequest[]): Promise<void>
}

async function startScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  await push(registry.url, 'acme/hello:v1', HELLO)
  await push(registry.url, 'acme/site:v1', SITE)
  const node = stack.use(await startNode(registry))
  const driver = stack.use(await node.startDriver())
  const made = stack.move()
  return {
    ...{ registry, node, driver },
    async publish(pod, name, attributes = {}) {
      const request = await node.request(pod, `${registry.host}/acme/${name}:v1`, { attributes })
      await driver.csi.nodePublishVolume(request)
      return request
    },
    async unpublish(...requests) {
      for (const request of requests) await driver.csi.nodeUnpublishVolume(request)
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** Runs `oras-csi cache` on the node's store; STORE and HOST stand for what differs each time, KEY for what only ends with the test. */
async function cache({ node, registry }: Scene, ...args: readonly string[]) {
  await using cli = startProcess({
    args: ['cli/main.ts', 'cache', ...args, '--store-directory', node.storeDirectory],
  })
  const { code } = await cli.exited
  const text = (stream: string) =>
    cli.lines
      .filter((line) => line.stream === stream)
      .map((line) => line.text)
      .join('\n')
      .replaceAll(node.storeDirectory, 'STORE')
      .replaceAll(node.kubeletDir, 'KUBELET')
      .replaceAll(registry.host, 'HOST')
  return { code, stdout: text('stdout'), stderr: text('stderr') }
}

async function keys({ node }: Scene, kind: 'trees' | 'views'): Promise<readonly string[]> {
  return readdir(`${node.storeDirectory}/${kind}`)
}

async function keyOf({ node }: Scene, { target_path }: PublishRequest): Promise<string> {
  const [mount] = await mountsAt(target_path)
  const key = /\/(?:trees|views)\/([0-9a-f]{64})\/root$/.exec(mount?.root ?? '')?.[1]
  if (key === undefined) throw new Error(`Nothing of ${node.storeDirectory} is at ${target_path}`)
  return key
}

function blobPath({ node }: Scene, built: Built, content: string): string {
  const [digest] = [...built.blobs].find(([, bytes]) => bytes.toString() === content) ?? ['']
  const hex = digest.slice('sha256:'.length)
  return `${node.storeDirectory}/blobs/sha256/${hex.slice(0, 2)}/${hex}`
}

describe('cache ls and inspect', () => {
  test('tell what is there and who uses it, with a driver and without', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const [one, two] = [await scene.publish('one', 'hello'), await scene.publish('two', 'hello')]
    const part = await scene.publish('part', 'site', { 'oras.artifact.path': 'www' })
    await scene.unpublish(part)
    const hello = await keyOf(scene, one)
    const [view = ''] = await keys(scene, 'views')
    const site = (await keys(scene, 'trees')).find((key) => key !== hello) ?? ''

    const { stdout, code } = await cache(scene, 'ls')
    expect(code).toBe(0)
    const [head, first, ...rest] = stdout.split('\n')
    expect(head).toMatch(/^KIND {2}KEY {11}SIZE {2,}LAST USED {2}PODS {13}REFERENCE$/)
    expect(first).toMatch(
      new RegExp(
        `^tree  ${hello.slice(0, 12)}  8 B +in use     default/\\w+, \\+1  HOST/acme/hello:v1$`,
      ),
    )
    expect(rest.slice(0, 2).sort()).toEqual([
      expect.stringMatching(`^tree  ${site.slice(0, 12)}  19 B  just now   - +HOST/acme/site:v1$`),
      expect.stringMatching(`^view  ${view.slice(0, 12)}  19 B  just now   - +HOST/acme/site:v1$`),
    ])
    expect(rest.slice(2)).toEqual([
      '',
      expect.stringMatching(/^2 trees, 1 view and 3 blobs of \d+ B in STORE$/),
    ])

    scene.driver.process.kill('SIGKILL')
    await scene.driver.process.exited
    const listing = JSON.parse((await cache(scene, 'ls', '--json')).stdout)
    expect(listing).toMatchObject({ directory: 'STORE', unreadable: [], otherVolumes: 0 })
    expect(listing.entries[0]).toEqual({
      ...{ kind: 'tree', key: hello, bytes: 8, inodes: 1 },
      lastUsed: expect.stringMatching(/^\d{4}-.*Z$/),
      references: ['HOST/acme/hello:v1'],
      volumes: expect.arrayContaining(
        [one, two].map(({ volume_id, target_path }, index) => ({
          ...{ id: volume_id, namespace: 'default', mounted: true },
          pod: index === 0 ? 'one' : 'two',
          podUid: `uid-${index === 0 ? 'one' : 'two'}`,
          target: target_path.replace(scene.node.kubeletDir, 'KUBELET'),
        })),
      ),
    })

    const shown = await cache(scene, 'inspect', site.slice(0, 8))
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    expect(shown.stdout.split('\n')).toEqual([
      `tree        ${site}`,
      `directory   STORE/trees/${site}/root`,
      `manifest    ${SITE.digest}`,
      'references  HOST/acme/site:v1',
      'origins     HOST/acme/site',
      'size        19 B in 3 entries, 13 B of its own',
      expect.stringMatching(/^last used {3}\d{4}-.*Z$/),
      expect.stringMatching(/^durable {5}/),
      expect.stringMatching(/^blobs {7}sha256:[0-9a-f]{64} {2}\d+ B$/),
      expect.stringMatching(/^ {12}sha256:[0-9a-f]{64} {2}6 B$/),
      `views       ${view}`,
    ])
    const detail = JSON.parse((await cache(scene, 'inspect', view, '--json')).stdout)
    expect(detail).toMatchObject({ kind: 'view', key: view, trees: [site], volumes: [] })
    expect(await cache(scene, 'inspect', 'nothing')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'No key begins with "nothing"; oras-csi cache ls lists the keys',
    })

    await using next = await scene.node.startDriver()
    for (const request of [one, two]) await next.csi.nodeUnpublishVolume(request)
  })

  test('say where there is no store, and what is none', async () => {
    await using directory = await temporaryDirectory()
    const run = async (path: string) => {
      await using cli = startProcess({
        args: ['cli/main.ts', 'cache', 'ls', '--store-directory', path],
      })
      return [await cli.exited, cli.output()]
    }
    expect(await run(directory.file('absent'))).toEqual([
      { code: 2, signal: null },
      `stderr: There is no store at "${directory.file('absent')}": run this on a node with the driver, and name its --store-directory if it has one`,
    ])
    expect(await run(directory.path)).toEqual([
      { code: 2, signal: null },
      `stderr: "${directory.path}" is no store of the driver`,
    ])
  })
})

describe('cache prune', () => {
  test('removes what no volume needs, never what a lease holds, however old it is', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const held = await scene.publish('held', 'hello')
    const gone = await scene.publish('gone', 'site', { 'oras.artifact.path': 'www' })
    const view = await keyOf(scene, gone)
    await scene.unpublish(gone)
    const hello = await keyOf(scene, held)
    const site = (await keys(scene, 'trees')).find((key) => key !== hello) ?? ''

    expect(await cache(scene, 'prune')).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: 'removed 0 trees, 0 views, 0 blobs, 0 downloads: 0 B',
    })
    const planned = await cache(scene, 'prune', '--all', '--dry-run')
    expect(planned.stdout.split('\n').slice(0, 2)).toEqual([
      expect.stringMatching(`^view  ${view.slice(0, 12)} +0 B +HOST/acme/site:v1$`),
      expect.stringMatching(`^tree  ${site.slice(0, 12)} +13 B +HOST/acme/site:v1$`),
    ])
    expect(planned.stdout).toMatch(/\nwould remove 1 tree, 1 view, 2 blobs, 0 downloads: \d+ B$/)
    expect((await keys(scene, 'trees')).length).toBe(2)

    const pruned = JSON.parse((await cache(scene, 'prune', '--all', '--json')).stdout)
    expect(pruned).toMatchObject({ isDryRun: false })
    expect(pruned.pruned.map(({ kind }: { kind: string }) => kind)).toEqual([
      ...['view', 'tree', 'blob', 'blob'],
    ])
    expect(await keys(scene, 'trees')).toEqual([hello])
    expect(await keys(scene, 'views')).toEqual([])
    expect(await readFile(`${held.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    expect((await stat(blobPath(scene, HELLO, 'hello v1'))).nlink).toBe(2)
    await poll(async () => (await readdir(`${scene.node.storeDirectory}/trash`)).length === 0, {
      ...{ deadlineMs: 10_000, what: 'the trash to be empty' },
    })

    // It is made again when it is asked for.
    const again = await scene.publish('again', 'site')
    expect(await readFile(`${again.target_path}/site/index.html`, 'utf8')).toBe('<p>a page</p>')
    await scene.unpublish(held, again)
  })

  test('without a driver changes nothing; its socket is for root alone and goes with it', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const socket = `${scene.node.storeDirectory}/admin.sock`
    expect((await stat(socket)).mode & 0o777).toBe(0o600)
    const refused = {
      ...{ code: 2, stdout: '' },
      stderr: 'No driver has the store "STORE" open: only it may change what is in there',
    }
    scene.driver.process.kill('SIGKILL')
    await scene.driver.process.exited
    expect(await cache(scene, 'prune', '--all')).toEqual(refused)
    const next = await scene.node.startDriver()
    expect((await cache(scene, 'prune', '--all')).code).toBe(0)
    next.process.kill('SIGTERM')
    await next.process.exited
    await expect(stat(socket)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await cache(scene, 'prune', '--all')).toEqual(refused)
  })
})

describe('cache verify', () => {
  test('finds what the disk has changed; pods keep what they have, and the next one gets it whole', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const [hello, site] = [
      await scene.publish('hello', 'hello'),
      await scene.publish('site', 'site'),
    ]
    const [helloKey, siteKey] = [await keyOf(scene, hello), await keyOf(scene, site)]
    expect(await cache(scene, 'verify')).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: expect.stringMatching(/^checked 3 blobs of \d+ B, 2 trees, 0 views: all is well$/),
    })

    const blob = blobPath(scene, HELLO, 'hello v1')
    await writeFile(blob, 'hello V1')
    await truncate(`${scene.node.storeDirectory}/trees/${siteKey}/root/site/index.html`, 3)
    const digest = `sha256:${blob.split('/').at(-1)}`
    const found = [
      expect.stringMatching(
        `^blob ${digest} is damaged: its bytes hash to sha256:[0-9a-f]{64}; moved away, the next pod pulls it again$`,
      ),
      ...[
        `tree ${helloKey.slice(0, 12)} (HOST/acme/hello:v1) is damaged: "hello.txt" is the damaged blob ${digest}; moved away, the next pod pulls it again; restart what shows it: default/hello`,
        `tree ${siteKey.slice(0, 12)} (HOST/acme/site:v1) is damaged: its files have 9 bytes; expected 19; moved away, the next pod pulls it again; restart what shows it: default/site`,
      ].sort(),
    ]
    const reported = await cache(scene, 'verify', '--report-only', '--json')
    expect(reported.code).toBe(1)
    expect(JSON.parse(reported.stdout)).toMatchObject({
      checked: { blobs: 3, trees: 2, views: 0, skipped: 0 },
      damaged: [{ outcome: 'left' }, { outcome: 'left' }, { outcome: 'left' }],
    })

    const { code, stdout } = await cache(scene, 'verify')
    const lines = stdout.split('\n')
    expect([lines[0], ...lines.slice(1, 3).sort()]).toEqual(found)
    expect(lines[3]).toMatch(/^checked 3 blobs of \d+ B, 2 trees, 0 views: 3 damaged$/)
    expect(code).toBe(1)

    // What runs, runs; and a kubelet that restarted is told that it does.
    expect(await readFile(`${hello.target_path}/hello.txt`, 'utf8')).toBe('hello V1')
    await scene.driver.csi.nodePublishVolume(hello)
    const next = [
      await scene.publish('next', 'hello'),
      await scene.publish('other', 'site'),
    ] as const
    expect(await readFile(`${next[0].target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    expect(await readFile(`${next[1].target_path}/site/index.html`, 'utf8')).toBe('<p>a page</p>')
    expect((await cache(scene, 'verify')).code).toBe(0)
    await scene.unpublish(hello, site, ...next)
    expect(await mountsAt(hello.target_path)).toEqual([])
  })

  test('without a driver tells what it finds, and that nothing was done about it', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await scene.unpublish(await scene.publish('hello', 'hello'))
    scene.driver.process.kill('SIGTERM')
    await scene.driver.process.exited
    const [key = ''] = await keys(scene, 'trees')
    await rm(`${scene.node.storeDirectory}/trees/${key}/root/hello.txt`)
    expect(await cache(scene, 'verify')).toEqual({
      code: 1,
      stdout: [
        `tree ${key.slice(0, 12)} (HOST/acme/hello:v1) is damaged: it has 0 entries; expected 1`,
        'checked 1 blob of 8 B, 1 tree, 0 views: 1 damaged',
      ].join('\n'),
      stderr:
        'nothing is moved away: No driver has the store "STORE" open: only it may change what is in there',
    })
  })
})

describe('cache purge', () => {
  test('refuses while a driver runs, a volume is in use, or a mount is there; then nothing is left', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const { node } = scene
    const published = await scene.publish('app', 'hello')
    const purge = () => cache(scene, 'purge', '--yes')
    expect(await purge()).toEqual({
      ...{ code: 2, stdout: '' },
      stderr: 'Cannot remove "STORE": a driver has it open; uninstall it first',
    })
    scene.driver.process.kill('SIGTERM')
    await scene.driver.process.exited
    const target = published.target_path.replace(node.kubeletDir, 'KUBELET')
    expect(await purge()).toEqual({
      ...{ code: 2, stdout: '' },
      stderr: `Cannot remove "STORE": 1 volume of this node may still be in use; delete the pods while the driver runs, or reboot the node:\n  ${target}`,
    })
    await rm(`${node.storeDirectory}/volumes/${published.volume_id}.json`)
    expect(await purge()).toEqual({
      ...{ code: 2, stdout: '' },
      stderr: expect.stringMatching(
        /^Cannot remove "STORE": \d+ mounts? of this node shows? what is in it; end the pods that have them, or reboot the node$/,
      ),
    })
    await detach(published.target_path)
    expect(await cache(scene, 'purge')).toEqual({
      ...{ code: 1, stderr: '', stdout: 'nothing uses "STORE"; with --yes it is removed' },
    })
    expect((await keys(scene, 'trees')).length).toBe(1)
    expect(await purge()).toEqual({ code: 0, stderr: '', stdout: 'removed "STORE"' })
    await expect(stat(node.storeDirectory)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test("never removes somebody else's files, nor from a directory that is no store", async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const { node } = scene
    scene.driver.process.kill('SIGTERM')
    await scene.driver.process.exited
    await writeFile(`${node.storeDirectory}/notes.txt`, 'mine')
    expect(await cache(scene, 'purge', '--yes')).toMatchObject({
      stdout: 'emptied "STORE", but for what is not the driver\'s',
    })
    expect(await readdir(node.storeDirectory)).toEqual(['notes.txt'])
    await mkdir(`${node.storeDirectory}/trees`)
    expect(await cache(scene, 'purge', '--yes')).toMatchObject({
      code: 2,
      stderr: '"STORE" is no store of the driver',
    })
    expect((await readdir(node.storeDirectory)).sort()).toEqual(['notes.txt', 'trees'])
  })
})
