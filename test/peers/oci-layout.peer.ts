import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { artifact, image, index, push } from '../support/artifact.ts'
import { run } from '../support/command.ts'
import { startNode, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { NGINX, startNginx } from '../support/nginx.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { tarOf } from '../support/tar.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts'
import { type Oras, openOras } from './oras.ts'
import { listTree } from './tree-listing.ts'

const why = (await whyNoProgram('go')) ?? (await whyNoMounts())

/** A registry name that a directory of layouts stands in for, and one that the same files behind nginx do. */
const DISK = 'disk.example'
const WEB = 'web.example'

/** A node that has the layouts in `directory`'s `layouts` on both ways. */
async function withLayouts() {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const root = directory.file('layouts')
  await mkdir(root)
  const node = stack.use(await startNode())
  const nginx = stack.use(await startNginx({ root }))
  await node.configure(DISK, `server = "oci-layout://${root}"`)
  await node.configure(WEB, `server = "oci-layout+${nginx.url}"`)
  const made = stack.move()
  return { directory, node, [Symbol.asyncDispose]: () => made.disposeAsync() }
}

/** What a pod sees of `name` on each way. */
async function shown(node: TestNode, name: string) {
  await using driver = await node.startDriver()
  const trees: Awaited<ReturnType<typeof listTree>>[] = []
  for (const registry of [DISK, WEB]) {
    const request = await node.request(registry.replace('.', '-'), `${registry}/${name}`)
    await driver.csi.nodePublishVolume(request)
    trees.push(await listTree(request.target_path))
    await driver.csi.nodeUnpublishVolume(request)
  }
  return trees
}

async function make(directory: TemporaryDirectory, files: Readonly<Record<string, string>>) {
  for (const [path, content] of Object.entries(files)) {
    const file = directory.file(path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content)
  }
}

const namesOf = (tree: Awaited<ReturnType<typeof listTree>>) => Object.keys(tree).sort()

describe('a layout that oras made', () => {
  let oras: Oras
  beforeAll(async () => {
    if (why === undefined) oras = await openOras()
  })

  test('by push --oci-layout mounts as what oras pulls from it, and its older tags do', async (context) => {
    skipUnless(context, why ?? (await whyNoProgram(NGINX)))
    await using layouts = await withLayouts()
    const { directory, node } = layouts
    await make(directory, {
      'site/index.html': '<p>',
      'site/cgi/run': '#!',
      'a.txt': 'a',
      empty: '',
    })
    const options = { directory: directory.path, ociLayout: true }
    await oras.push('layouts/acme/app:v1', ['site', 'a.txt', 'empty'], options)
    await make(directory, { 'a.txt': 'b' })
    await oras.push('layouts/acme/app:v2', ['a.txt'], options)
    // As a tag that moves: v1 stays in the layout, under its digest only.
    await oras.push('layouts/acme/app:v2', ['empty'], options)
    for (const tree of await shown(node, 'acme/app:v1')) {
      expect(namesOf(tree)).toEqual([
        ...['a.txt', 'empty', 'site', 'site/cgi', 'site/cgi/run', 'site/index.html'],
      ])
    }
    for (const tree of await shown(node, 'acme/app:v2')) expect(namesOf(tree)).toEqual(['empty'])
  })

  test('by copy --to-oci-layout mounts: an artifact, and an index with its children', async (context) => {
    skipUnless(context, why ?? (await whyNoProgram(NGINX)))
    await using layouts = await withLayouts()
    const { directory, node } = layouts
    await using registry = await startRegistry()
    const options = { directory: directory.path }
    await push(
      registry.url,
      'acme/hello:v1',
      artifact({ layers: [{ title: 'hello', content: 'h' }] }),
    )
    const base = image({ layers: [tarOf([{ path: 'etc/motd', content: 'hi' }])] })
    await push(registry.url, 'acme/base:1', index([base]))
    await oras.copyToLayout(`${registry.host}/acme/hello:v1`, 'layouts/hello:v1', options)
    await oras.copyToLayout(`${registry.host}/acme/base:1`, 'layouts/base:1', options)
    for (const tree of await shown(node, 'hello:v1')) expect(namesOf(tree)).toEqual(['hello'])
    for (const tree of await shown(node, 'base:1'))
      expect(namesOf(tree)).toEqual(['etc', 'etc/motd'])
    // The child is not listed; as from a registry, it is there by its digest.
    for (const tree of await shown(node, `base@${base.digest}`)) {
      expect(namesOf(tree)).toEqual(['etc', 'etc/motd'])
    }
  })
})

test('a layout that umoci made mounts', async (context) => {
  skipUnless(context, (await whyNoProgram('umoci', NGINX)) ?? (await whyNoMounts()))
  await using layouts = await withLayouts()
  const { directory, node } = layouts
  const layout = directory.file('layouts', 'tools')
  await run('umoci', ['init', '--layout', layout])
  await run('umoci', ['new', '--image', `${layout}:v1`])
  const bundle = directory.file('bundle')
  await run('umoci', ['unpack', '--rootless', '--image', `${layout}:v1`, bundle])
  await make(directory, { 'bundle/rootfs/opt/tool': 'tool' })
  await run('umoci', ['repack', '--image', `${layout}:v1`, bundle])
  for (const tree of await shown(node, 'tools:v1'))
    expect(namesOf(tree)).toEqual(['opt', 'opt/tool'])
})

test('a layout that skopeo copied mounts', async (context) => {
  skipUnless(context, (await whyNoProgram('skopeo', NGINX)) ?? (await whyNoMounts()))
  await using layouts = await withLayouts()
  const { directory, node } = layouts
  await using registry = await startRegistry()
  const base = image({ layers: [tarOf([{ path: 'etc/motd', content: 'hi' }])] })
  await push(registry.url, 'acme/base:1', base)
  await run('skopeo', [
    ...['copy', '--insecure-policy', '--src-tls-verify=false'],
    ...[`docker://${registry.host}/acme/base:1`, `oci:${directory.file('layouts', 'base')}:1`],
  ])
  for (const tree of await shown(node, 'base:1')) expect(namesOf(tree)).toEqual(['etc', 'etc/motd'])
  expect(await readFile(directory.file('layouts', 'base', 'oci-layout'), 'utf8')).toContain('1.0.0')
})
