import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { ingestPath } from '../../../../driver/store/ingest-files.ts'
import { artifact, type Built, image } from '../../../support/artifact.ts'
import { poll } from '../../../support/poll.ts'
import { generatedContent } from '../../../support/registry/content.ts'
import { type TarEntry, tarOf } from '../../../support/tar.ts'
import { type PullFixture, pullFixture } from '../pull-fixture.ts'

const BLOB = /\/blobs\//
const MEBIBYTE = 1024 * 1024
const TAR = 'application/vnd.oci.image.layer.v1.tar'

/** Files that cannot be compressed, one MiB each, all different. */
function files(count: number, name = 'f'): readonly (TarEntry & { readonly path: string })[] {
  return Array.from({ length: count }, (_, i) => ({
    path: `${name}${i}`,
    content: Buffer.from(generatedContent(MEBIBYTE, i + 1).slice(0, MEBIBYTE)),
  }))
}

const ENTRIES = files(8)
const ARCHIVE = gzipSync(tarOf(ENTRIES))
const UNPACKED = artifact({ layers: [{ content: ARCHIVE, mediaType: `${TAR}+gzip` }] })

function ofArchive(content: Buffer, mediaType = `${TAR}+gzip`): Built {
  return artifact({ layers: [{ content, mediaType }] })
}

/** Waits until something of the archive is unpacked, though the rest of it is not here. */
function begun(fixture: PullFixture, path = 'f1'): Promise<true> {
  return poll(() => fixture.building().includes(`root/${path}`), {
    deadlineMs: 20_000,
    what: `"${path}" to be unpacked`,
  })
}

function expectFiles(root: string, entries: typeof ENTRIES = ENTRIES): void {
  for (const { path, content } of entries) {
    expect(readFileSync(join(root, path)).equals(Buffer.from(content ?? ''))).toBe(true)
  }
}

test.each([
  ['gzip', ARCHIVE, `${TAR}+gzip`],
  ['zstd', zstdCompressSync(tarOf(ENTRIES)), `${TAR}+zstd`],
  ['nothing', tarOf(ENTRIES), TAR],
])(
  'an archive compressed with %s is unpacked while it is downloaded, and seen when it is whole',
  async (_, content, type) => {
    await using fixture = await pullFixture({ 'app:v1': ofArchive(content, type) })
    using gate = fixture.registry.hold({ path: BLOB, afterBytes: content.length / 2 })
    const pulling = fixture.pull('app:v1')
    await begun(fixture)
    expect(fixture.visible()).toEqual([])
    gate.release()
    const tree = await pulling
    expectFiles(tree.root)
    expect(fixture.visible()).toEqual([tree.key])
    expect(fixture.building()).toEqual([])
    expect(tree.meta).toMatchObject({ bytes: 8 * MEBIBYTE, inodes: 8 })
  },
)

test('an archive that comes slowly', async () => {
  await using fixture = await pullFixture({ 'app:v1': UNPACKED })
  fixture.registry.fault({ path: BLOB }, { kind: 'throttle', bytesPerSecond: 8 * MEBIBYTE })
  expectFiles((await fixture.pull('app:v1')).root)
})

test('a wrong byte in the middle is told as what it is, though the unpacking fails first', async () => {
  await using fixture = await pullFixture({ 'app:v1': UNPACKED })
  fixture.registry.fault({ path: BLOB }, { kind: 'replace', content: spoilt(ARCHIVE) })
  using gate = fixture.registry.hold({ path: BLOB, afterBytes: ARCHIVE.length - 100 })
  const failing = fixture.failure('app:v1')
  await begun(fixture)
  // The unpacking has failed, and is cleared away; what it says about the bytes is worth nothing.
  await poll(() => fixture.building().length === 0, { deadlineMs: 20_000, what: 'the failure' })
  gate.release()
  expect(await failing).toMatch(
    new RegExp(
      `^CORRUPT Cannot pull "registry/app:v1": .*${digestOf(ARCHIVE)}.* hash(es)? to sha256:`,
    ),
  )
  expect(fixture.visible()).toEqual([])
  expect(fixture.building()).toEqual([])
  expect(fixture.openFiles()).toEqual([expect.stringMatching(/\/lock$/)])
})

test('an archive that is malformed, and just what its digest says, is told as malformed', async () => {
  const content = spoilt(ARCHIVE)
  await using fixture = await pullFixture({ 'app:v1': ofArchive(content) })
  using gate = fixture.registry.hold({ path: BLOB, afterBytes: content.length - 100 })
  const failing = fixture.failure('app:v1')
  await begun(fixture)
  await poll(() => fixture.building().length === 0, { deadlineMs: 20_000, what: 'the failure' })
  gate.release()
  const hex = digestOf(content).slice('sha256:'.length)
  expect(await failing).toMatch(
    new RegExp(
      `^CORRUPT Cannot use "registry/app:v1": cannot unpack layer ${hex}: malformed tar archive: checksum`,
    ),
  )
  expect(fixture.visible()).toEqual([])
  // The next pod is told at once, from what is here.
  fixture.registry.clearRequests()
  expect(await fixture.failure('app:v1')).toMatch(/^CORRUPT /)
  expect(fixture.registry.count('GET', BLOB)).toBe(0)
})

test('a blob that is right and cannot be kept makes no tree', async () => {
  await using fixture = await pullFixture({ 'app:v1': UNPACKED })
  // In the way of the rename by which the blob would appear, after its digest was found right and the tree was built.
  mkdirSync(join(fixture.store.blobs.path(digestOf(ARCHIVE)), 'in-the-way'), { recursive: true })
  using gate = fixture.registry.hold({ path: BLOB, afterBytes: ARCHIVE.length - 100 })
  const pulling = fixture.pull('app:v1')
  const failing = expect(pulling).rejects.toMatchObject({ syscall: 'rename' })
  await begun(fixture)
  gate.release()
  await failing
  expect(fixture.visible()).toEqual([])
  expect(fixture.building()).toEqual([])
})

test('a pull that nobody waits for stops in the middle of an archive', async () => {
  await using fixture = await pullFixture({ 'app:v1': UNPACKED }, { lingerMs: 0 })
  using _ = fixture.registry.hold({ path: BLOB, afterBytes: ARCHIVE.length / 2 })
  const hurried = new AbortController()
  const pulling = fixture.pull('app:v1', { signal: hurried.signal })
  await begun(fixture)
  hurried.abort(new Error('time is up'))
  await expect(pulling).rejects.toThrow('time is up')
  await poll(
    () => fixture.building().length === 0 && fixture.openFiles().every((f) => /lock$/.test(f)),
    { deadlineMs: 20_000, what: 'staging and open files to be gone' },
  )
  expect(fixture.visible()).toEqual([])
})

test('a download that begins anew, its beginning being wrong, is unpacked again from the right bytes', async () => {
  const content = tarOf(ENTRIES)
  await using fixture = await pullFixture({ 'app:v1': ofArchive(content, TAR) })
  const { registry, store } = fixture
  const blob = { mediaType: TAR, digest: digestOf(content), size: content.length, annotations: {} }
  // What an earlier process left: half of it, with a wrong byte in a file.
  const left = Buffer.from(content.subarray(0, content.length / 2))
  left[2000] = (left[2000] ?? 0) ^ 1
  writeFileSync(ingestPath(store.ingestDirectory, blob.digest, `${registry.host}/app`), left)
  using gate = registry.hold({ path: BLOB })
  const pulling = fixture.pull('app:v1')
  await begun(fixture)
  gate.release()
  expectFiles((await pulling).root)
  expect(fixture.building()).toEqual([])
})

test('a file beside an archive is the blob itself, whichever comes first', async () => {
  const content = Buffer.from(generatedContent(3 * MEBIBYTE, 99).slice(0, 3 * MEBIBYTE))
  const built = artifact({
    layers: [
      { title: 'model.bin', content, mediaType: 'application/octet-stream' },
      { content: ARCHIVE, mediaType: `${TAR}+gzip` },
      { title: 'again.bin', content, mediaType: 'application/octet-stream' },
    ],
  })
  await using fixture = await pullFixture({ 'app:v1': built })
  const { root } = await fixture.pull('app:v1')
  expectFiles(root)
  const { ino } = statSync(fixture.store.blobs.path(digestOf(content)))
  expect(statSync(join(root, 'model.bin')).ino).toBe(ino)
  expect(statSync(join(root, 'again.bin')).ino).toBe(ino)
})

test('a file is placed when its blob is in the store, and not before', async () => {
  const content = Buffer.from(generatedContent(3 * MEBIBYTE, 99).slice(0, 3 * MEBIBYTE))
  const built = artifact({
    layers: [
      { content: ARCHIVE, mediaType: `${TAR}+gzip` },
      { title: 'model.bin', content, mediaType: 'application/octet-stream' },
    ],
  })
  const other = artifact({ layers: [{ title: 'hello', content: 'hello' }] })
  await using fixture = await pullFixture({ 'app:v1': built, 'other:v1': other })
  using gate = fixture.registry.hold({ path: `/v2/app/blobs/${digestOf(content)}`, afterBytes: 9 })
  const pulling = fixture.pull('app:v1')
  await begun(fixture, 'f7')
  // A whole other pull's time to do it too early.
  const ended = pulling.then(
    () => 'ended',
    () => 'failed',
  )
  expect(await Promise.race([ended, fixture.pull('other:v1').then(() => 'waits')])).toBe('waits')
  expect(fixture.building()).not.toContain('root/model.bin')
  gate.release()
  expect(readFileSync(join((await pulling).root, 'model.bin')).equals(content)).toBe(true)
})

test('layers of an image that arrive in the wrong order are unpacked in the right one', async () => {
  const lower = tarOf(files(4))
  const upper = tarOf([{ path: '.wh.f1' }, ...files(4, 'g'), { path: 'f2', content: 'upper' }])
  const built = image({ layers: [lower, upper], compression: 'none' })
  await using fixture = await pullFixture({ 'app:v1': built })
  using gate = fixture.registry.hold({ path: `/v2/app/blobs/${digestOf(lower)}`, afterBytes: 1 })
  const pulling = fixture.pull('app:v1')
  await gate.arrived
  await poll(() => fixture.store.blobs.has(digestOf(upper), `${fixture.registry.host}/app`), {
    deadlineMs: 20_000,
    what: 'the upper layer to be here',
  })
  gate.release()
  const { root, meta } = await pulling
  expect(meta.inodes).toBe(7)
  expectFiles(root, [...files(4).filter(({ path }) => /0|3/.test(path)), ...files(4, 'g')])
  expect(readFileSync(join(root, 'f2'), 'utf8')).toBe('upper')
})

test('a registry that hangs in the middle of archives leaves a thread for other pods', async () => {
  const names = ['a:v1', 'b:v1', 'c:v1']
  const hanging = Object.fromEntries(
    names.map((name, i) => [name, ofArchive(gzipSync(tarOf(files(4 + i, 'h'))))]),
  )
  const other = artifact({ layers: [{ title: 'hello', content: 'hello' }] })
  await using fixture = await pullFixture({ ...hanging, 'other:v1': other })
  using gate = fixture.registry.hold({ path: /\/v2\/[abc]\/blobs\//, afterBytes: 3 * MEBIBYTE })
  const pulling = names.map((name) => fixture.pull(name))
  await gate.arrivedTimes(3)
  expect(readFileSync(join((await fixture.pull('other:v1')).root, 'hello'), 'utf8')).toBe('hello')
  // One is followed; the others wait without a thread.
  expect(fixture.building().filter((path) => path === 'root')).toEqual(['root'])
  gate.release()
  for (const [i, tree] of (await Promise.all(pulling)).entries()) {
    expectFiles(tree.root, files(4 + i, 'h'))
  }
})

test('with a single thread nothing is followed', async () => {
  await using fixture = await pullFixture({ 'app:v1': UNPACKED }, { treeWorkers: 1 })
  using gate = fixture.registry.hold({ path: BLOB, afterBytes: ARCHIVE.length - 100 })
  const pulling = fixture.pull('app:v1')
  await gate.arrived
  expect(fixture.building()).toEqual([])
  gate.release()
  expectFiles((await pulling).root)
})

/** The archive with a stretch in its middle overwritten. */
function spoilt(content: Buffer): Buffer {
  const copy = Buffer.from(content)
  copy.fill(0xff, copy.length / 2, copy.length / 2 + 1000)
  return copy
}
