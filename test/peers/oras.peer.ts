import { chmod, mkdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { beforeAll, describe, expect, test } from 'vitest'
import { OCI_MANIFEST } from '../../common/oci/media-types.ts'
import {
  artifact,
  type Built,
  directoryLayer,
  index,
  manifestOf,
  push,
  writeLayout,
} from '../support/artifact.ts'
import { startNode, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { asOurs } from './as-ours.ts'
import { DOCKER_REGISTRY, startDockerRegistry, USER } from './docker-registry.ts'
import { type Oras, openOras } from './oras.ts'
import { listTree, type TreeEntry } from './tree-listing.ts'

const why = (await whyNoProgram('go', DOCKER_REGISTRY)) ?? (await whyNoMounts())

/** A file's content, or what else is to stand at a path. */
type Made =
  | string
  | Uint8Array
  | { readonly content: string; readonly mode?: number; readonly mtime?: number }
  | { readonly directory: true; readonly mode?: number }
  | { readonly link: string }

interface Case {
  readonly name: string
  readonly made: Readonly<Record<string, Made>>
  /** The operands of `oras push`; default every path in `made`. */
  readonly pushed?: readonly string[]
  /** Of what is pushed, the directories: they travel as archives. */
  readonly directories?: readonly string[]
}

const ELF = Buffer.from('\x7fELF\x02\x01\x01 and no program', 'latin1')
const BIG = Buffer.alloc(5 * 1024 * 1024, 'five MiB, in more than one chunk. ')
const LONG = 'a-name-of-a-good-hundred-bytes-'.repeat(4)

const SITE: Readonly<Record<string, Made>> = {
  'site/index.html': '<p>',
  'site/empty': '',
  'site/old.txt': { content: 'old', mtime: 1_000_000_000 },
  'site/cgi/run': { content: '#!/bin/sh\necho ran\n', mode: 0o755 },
  'site/cgi/data': { content: '#!/bin/sh\nno program: not executable', mode: 0o644 },
  'site/private/key.pem': { content: 'key', mode: 0o600 },
  'site/private/tool': { content: 'tool', mode: 0o700 },
  'site/private': { directory: true, mode: 0o700 },
  'site/nothing in it': { directory: true },
  'site/größe/日本語.txt': 'unicode',
  [`site/${LONG}/${LONG}`]: 'long',
  'site/current': { link: 'cgi/run' },
  'site/cgi/up': { link: '../index.html' },
  'site/folder': { link: 'private' },
  'site/dangling': { link: 'not-there' },
}

const CASES: readonly Case[] = [
  { name: 'one file', made: { 'hello.txt': 'hello' } },
  {
    name: 'several files, two of them alike',
    made: { 'a.txt': 'same', 'b.txt': 'same', 'c.bin': BIG },
  },
  { name: 'an empty file among others', made: { empty: '', 'full.txt': 'full' } },
  { name: 'two empty files', made: { empty: '', 'also-empty': '' } },
  {
    name: 'nested titles',
    made: { 'conf/app/settings.json': '{}', 'conf/log.json': '[]', 'top.txt': 'top' },
  },
  {
    name: 'names that are not ASCII, or not polite',
    made: {
      'größe.txt': '1',
      '日本語/ファイル.txt': '2',
      '🚀.bin': '3',
      'with space; $(and) "quotes".txt': '4',
      '..dots': '5',
      'back\\slash': '6',
    },
  },
  {
    name: 'a name with a colon',
    made: { 'hi:there.txt': 'hi' },
    pushed: ['hi:there.txt:'],
  },
  {
    name: 'programs and scripts',
    made: {
      'run.sh': { content: '#!/bin/sh\necho ran\n', mode: 0o755 },
      'not-marked.sh': { content: '#!/bin/sh\necho ran\n', mode: 0o644 },
      program: ELF,
      'marked.txt': { content: 'text', mode: 0o755 },
    },
  },
  {
    name: 'files with media types of their own',
    made: { 'app.jar': 'PK', 'config.yaml': 'a: 1' },
    pushed: ['app.jar:application/java-archive', 'config.yaml:application/yaml'],
  },
  {
    name: 'files that are archives and stay so',
    made: { 'data.tar.gz': Buffer.from('1f8b08', 'hex') },
    pushed: ['data.tar.gz:application/gzip'],
  },
  { name: 'a directory', made: SITE, pushed: ['site'], directories: ['site'] },
  {
    name: 'an empty directory',
    made: { nothing: { directory: true } },
    pushed: ['nothing'],
    directories: ['nothing'],
  },
  {
    name: 'directories below one another, with a file between',
    made: { 'data/models/a/weights': 'w', 'data/models/b/weights': 'w', 'data/README': 'r' },
    pushed: ['data/models/a', 'data/README', 'data/models/b'],
    directories: ['data/models/a', 'data/models/b'],
  },
]

describe('what oras pushes into docker-registry', () => {
  let oras: Oras
  beforeAll(async () => {
    if (why === undefined) oras = await openOras()
  })

  test.for(CASES)('$name: our volume is what oras pulls', async (given, context) => {
    skipUnless(context, why)
    await using registry = await startDockerRegistry()
    await using directory = await temporaryDirectory()
    await make(directory.path, given.made)
    const reference = `${registry.host}/acme/app:v1`
    const pushed = given.pushed ?? Object.keys(given.made)
    const digest = await oras.push(reference, pushed, { directory: directory.path })

    await using node = await startNode()
    await node.configure(registry.host, `server = "${registry.url}"`)
    const theirs = await pulled(oras, reference, digest)
    const ours = await published(node, reference, {})

    expect(Object.keys(theirs).length).toBeGreaterThanOrEqual(Object.keys(given.made).length)
    expect(ours).toEqual(asOurs(theirs, given))
  })

  test('selected by digest and with one download at a time, it is the same', async (context) => {
    skipUnless(context, why)
    await using registry = await startDockerRegistry()
    await using directory = await temporaryDirectory()
    const given = { made: { ...SITE, 'a.bin': BIG, 'b.txt': 'b' }, directories: ['site'] }
    await make(directory.path, given.made)
    const digest = await oras.push(`${registry.host}/acme/app:v1`, ['site', 'a.bin', 'b.txt'], {
      directory: directory.path,
      concurrency: 1,
    })
    await using node = await startNode()
    await node.configure(registry.host, `server = "${registry.url}"`)
    const reference = `${registry.host}/acme/app@${digest}`
    const theirs = await pulled(oras, reference, digest, { concurrency: 1 })
    const ours = await published(node, reference, {
      attributes: { 'oras.options.concurrency': '1' },
    })
    expect(ours).toEqual(asOurs(theirs, given))
  })

  test('it is mounted with a pull secret, and refused without', async (context) => {
    skipUnless(context, why)
    await using registry = await startDockerRegistry({ auth: true })
    await using directory = await temporaryDirectory()
    await make(directory.path, { 'secret.txt': 'secret' })
    const reference = `${registry.host}/acme/app:v1`
    const digest = await oras.push(reference, ['secret.txt'], {
      directory: directory.path,
      ...USER,
    })
    await expect(oras.pull(reference, { directory: directory.path })).rejects.toThrow(
      'basic credential not found',
    )

    await using node = await startNode()
    await node.configure(registry.host, `server = "${registry.url}"`)
    const secretOf = (password: string) => ({
      '.dockerconfigjson': JSON.stringify({
        auths: { [registry.host]: { username: USER.username, password } },
      }),
    })
    await expect(published(node, reference, {})).rejects.toMatchObject({
      code: status.UNAUTHENTICATED,
    })
    await expect(published(node, reference, { secret: secretOf('wrong') })).rejects.toMatchObject({
      code: status.UNAUTHENTICATED,
    })
    const theirs = await pulled(oras, reference, digest, USER)
    const ours = await published(node, reference, { secret: secretOf(USER.password) })
    expect(ours).toEqual(asOurs(theirs, {}))
  })
})

const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello' }] })
const AMD64 = { os: 'linux', architecture: 'amd64' }
const ARM64 = { os: 'linux', architecture: 'arm64' }

const BUILT: readonly { name: string; built: Built; directories?: readonly string[] }[] = [
  { name: 'titled files', built: HELLO },
  {
    name: 'a directory layer beside a titled file and an untitled blob of a config',
    built: artifact({
      config: { mediaType: 'application/vnd.acme.config+json', content: '{"a":1}' },
      layers: [
        directoryLayer('site', [
          { path: 'index.html', content: '<p>', mode: 0o640 },
          { path: 'cgi', type: 'directory', mode: 0o750 },
          { path: 'cgi/run', content: '#!', mode: 0o755 },
          { path: 'link', type: 'symlink', linkname: 'cgi/run' },
          { path: 'again', type: 'hardlink', linkname: 'site/index.html', mode: 0o640 },
        ]),
        { title: 'bin/tool', content: ELF },
      ],
    }),
    directories: ['site'],
  },
  {
    name: 'a manifest that does not say its own media type',
    built: manifestOf(withoutMediaType(HELLO), OCI_MANIFEST, [...HELLO.blobs.values()]),
  },
]

describe('what our test support pushes into docker-registry', () => {
  let oras: Oras
  beforeAll(async () => {
    if (why === undefined) oras = await openOras()
  })

  test.for(BUILT)('$name: oras pulls it too, and has the same', async (given, context) => {
    skipUnless(context, why)
    await using registry = await startDockerRegistry()
    await push(registry.url, 'acme/app:v1', given.built)
    const reference = `${registry.host}/acme/app:v1`
    await using node = await startNode()
    await node.configure(registry.host, `server = "${registry.url}"`)
    const theirs = await pulled(oras, reference, given.built.digest)
    expect(Object.keys(theirs)).not.toEqual([])
    expect(await published(node, reference, {})).toEqual(asOurs(theirs, given))
  })

  test("an index of two platforms: ours is what oras pulls of the node's child", async (context) => {
    skipUnless(context, why)
    await using registry = await startDockerRegistry()
    const child = (name: string) => artifact({ layers: [{ title: name, content: name }] })
    const children = {
      x64: { built: child('for-amd64'), platform: AMD64 },
      arm64: { built: child('for-arm64'), platform: ARM64 },
    }
    await push(registry.url, 'acme/app:v1', index(Object.values(children)))
    const mine = process.arch === 'arm64' ? children.arm64 : children.x64
    await using node = await startNode()
    await node.configure(registry.host, `server = "${registry.url}"`)
    const repository = `${registry.host}/acme/app`
    const theirs = await pulled(oras, `${repository}@${mine.built.digest}`, mine.built.digest)
    expect(await published(node, `${repository}:v1`, {})).toEqual(asOurs(theirs, {}))
  })

  test('as an OCI layout, oras pulls it', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('layout'))
    await writeLayout(directory.file('layout'), 'v1', HELLO)
    const theirs = await pulled(oras, `${directory.file('layout')}:v1`, HELLO.digest, {
      ociLayout: true,
    })
    expect(Object.keys(theirs)).toEqual(['hello.txt'])
  })
})

/** Makes files, directories and links below a directory; the modes of directories last, so that they can be filled first. */
async function make(root: string, made: Readonly<Record<string, Made>>): Promise<void> {
  for (const [name, what] of Object.entries(made)) {
    const path = join(root, name)
    await mkdir(dirname(path), { recursive: true })
    if (typeof what === 'string' || what instanceof Uint8Array) await writeFile(path, what)
    else if ('link' in what) await symlink(what.link, path)
    else if ('directory' in what) await mkdir(path, { recursive: true })
    else {
      await writeFile(path, what.content)
      if (what.mtime !== undefined) await utimes(path, what.mtime, what.mtime)
    }
    const mode = typeof what === 'object' && 'mode' in what ? what.mode : undefined
    if (mode !== undefined) await chmod(path, mode)
  }
}

/** What oras makes of a reference in a directory of its own. */
async function pulled(
  oras: Oras,
  reference: string,
  digest: string,
  options: Partial<Parameters<Oras['pull']>[1]> = {},
): Promise<Record<string, TreeEntry>> {
  await using directory = await temporaryDirectory()
  expect(await oras.pull(reference, { ...options, directory: directory.path })).toBe(digest)
  return await listTree(directory.path)
}

/** What our driver, a process of its own, shows to a pod. */
async function published(
  node: TestNode,
  reference: string,
  options: {
    readonly attributes?: Readonly<Record<string, string>>
    readonly secret?: Readonly<Record<string, string>>
  },
): Promise<Record<string, TreeEntry>> {
  await using driver = await node.startDriver()
  const { attributes = {}, secret = {} } = options
  const request = await node.request('pod-1', reference, { attributes, secret })
  await driver.csi.nodePublishVolume(request)
  const tree = await listTree(request.target_path)
  await driver.csi.nodeUnpublishVolume(request)
  return tree
}

function withoutMediaType(built: Built): object {
  const { mediaType: _, ...rest } = JSON.parse(built.manifest.toString())
  return rest
}
