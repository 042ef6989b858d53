import { readFile, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../../common/errors.ts'
import type { ArtifactSource } from '../../../common/oci/artifact-source.ts'
import { ANONYMOUS } from '../../../common/oci/credentials.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import { createBlobPuller } from '../../../driver/pull/blob-puller.ts'
import type { Patience } from '../../../driver/pull/turns.ts'
import { ingestPath } from '../../../driver/store/ingest-files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { openTestStore } from '../store/open-test-store.ts'

const CONTENT = Buffer.from('GOODgood')
const DESCRIPTOR = {
  mediaType: 'application/octet-stream',
  digest: digestOf(CONTENT),
  size: CONTENT.length,
  annotations: {},
}
const OTHER = { ...DESCRIPTOR, digest: digestOf('other'), size: 5 }
const ORIGIN = 'r.example/x'

test('a download that was cancelled and ends late is over before the next one writes', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.file('store'))
  const events: string[] = []
  const begun = Promise.withResolvers<void>()
  const cancelled = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  // A server that sends on after the client has given up, as the network may.
  const source: ArtifactSource = {
    resolve: () => Promise.reject(new Error('unused')),
    manifest: () => Promise.reject(new Error('unused')),
    async *blob(_reference, { digest }, { offset = 0, signal }) {
      if (digest === OTHER.digest) {
        yield Buffer.from('other')
        return
      }
      const number = events.filter((event) => event.endsWith('begins')).length + 1
      events.push(`download ${number} begins`)
      if (number === 1) {
        signal.addEventListener('abort', () => cancelled.resolve())
        yield CONTENT.subarray(0, 4)
        begun.resolve()
        await finish.promise
        events.push('download 1 ends')
        yield Buffer.from('EVIL')
        return
      }
      yield CONTENT.subarray(offset)
    },
  }
  await using blobs = createBlobPuller({ store, source, maxDownloads: 4, lingerMs: 1 })
  const call = { reference: parseReference('r.example/x:v'), keyring: ANONYMOUS }

  const hurried = new AbortController()
  const first = blobs.ensure(DESCRIPTOR, ORIGIN, { ...call, signal: hurried.signal })
  await begun.promise
  hurried.abort(new Error('time is up'))
  await expect(first).rejects.toThrow('time is up')
  await cancelled.promise
  const patient = { ...call, signal: new AbortController().signal }
  const second = blobs.ensure(DESCRIPTOR, ORIGIN, patient)
  // By the time that a whole other download is done, the second would long have begun.
  await blobs.ensure(OTHER, ORIGIN, patient)
  finish.resolve()
  await second

  expect(events).toEqual(['download 1 begins', 'download 1 ends', 'download 2 begins'])
  expect((await readFile(store.blobs.path(DESCRIPTOR.digest))).equals(CONTENT)).toBe(true)
})

/** Registries of which each repository has the blob, and a node; says which were asked for bytes, and whether one may read. */
async function openNode(options: {
  /** What a registry answers to a HEAD of the blob in a repository; absent: nobody can be asked. */
  readonly mayRead?: (where: string) => boolean
  /** Held before the last bytes, by repository. */
  readonly gates?: Readonly<Record<string, Promise<void>>>
}) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const store = stack.use(await openTestStore(directory.file('store')))
  const asked: string[] = []
  const { mayRead, gates = {} } = options
  const source: ArtifactSource = {
    resolve: () => Promise.reject(new Error('unused')),
    manifest: () => Promise.reject(new Error('unused')),
    ...(mayRead !== undefined && {
      async mayRead({ registry, repository }, _descriptor, { authoritativeOnly }) {
        asked.push(`HEAD ${registry}/${repository}${authoritativeOnly ? '' : ' of a mirror'}`)
        return mayRead(`${registry}/${repository}`)
      },
    }),
    async *blob({ registry, repository }, _descriptor, { offset = 0 }) {
      const where = `${registry}/${repository}`
      asked.push(`GET ${where}`)
      if (offset === 0) yield CONTENT.subarray(0, 4)
      await gates[where]
      yield CONTENT.subarray(4)
    },
  }
  const blobs = stack.use(createBlobPuller({ store, source, maxDownloads: 4 }))
  const open = stack.move()
  return {
    ...{ asked, store, blobs },
    ensure: (where: string, caller = 'somebody') =>
      blobs.ensure(DESCRIPTOR, where, {
        reference: parseReference(`${where}:v`),
        keyring: ANONYMOUS,
        caller,
        signal: new AbortController().signal,
      }),
    isFor: (where: string) => store.blobs.has(DESCRIPTOR.digest, where),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}

describe('a blob that is on the disk', () => {
  test('counts for whoever comes to where it was downloaded from', async () => {
    await using node = await openNode({})
    await node.ensure('r.example/a')
    await node.ensure('r.example/a')
    expect(node.asked).toEqual(['GET r.example/a'])
  })

  test('is taken over by another repository of its registry when that says yes', async () => {
    await using node = await openNode({ mayRead: () => true })
    await node.ensure('r.example/a')
    await node.ensure('r.example/b')
    expect(node.asked).toEqual(['GET r.example/a', 'HEAD r.example/b'])
    expect([await node.isFor('r.example/a'), await node.isFor('r.example/b')]).toEqual([true, true])
    await node.ensure('r.example/b')
    expect(node.asked.length).toBe(2)
  })

  test('is downloaded again when that says no', async () => {
    await using node = await openNode({ mayRead: () => false })
    await node.ensure('r.example/a')
    await node.ensure('r.example/b')
    expect(node.asked).toEqual(['GET r.example/a', 'HEAD r.example/b', 'GET r.example/b'])
  })

  test.for(['evil.example/a', 'r.example.evil.example/a', 'r.example:5000/a'])(
    'attack: %s says yes to any HEAD, and is made to send all of it',
    async (where) => {
      await using node = await openNode({ mayRead: () => true })
      await node.ensure('r.example/a')
      const before = await stat(node.store.blobs.path(DESCRIPTOR.digest))
      await node.ensure(where)
      expect(node.asked).toEqual(['GET r.example/a', `GET ${where}`])
      // And then it is one file.
      expect((await stat(node.store.blobs.path(DESCRIPTOR.digest))).ino).toBe(before.ino)
    },
  )

  test('attack: what an earlier download left in the place of its own is not what a follower reads', async () => {
    await using node = await openNode({ mayRead: () => true })
    await node.ensure('r.example/a')
    const left = ingestPath(node.store.ingestDirectory, DESCRIPTOR.digest, 'r.example/b')
    await writeFile(left, 'EVILEVIL')
    await node.ensure('r.example/b')
    await expect(stat(left)).rejects.toThrow('ENOENT')
  })

  test('and whose record cannot be read is downloaded again', async () => {
    await using node = await openNode({ mayRead: () => true })
    await node.ensure('r.example/a')
    await writeFile(`${node.store.blobs.path(DESCRIPTOR.digest)}.json`, '{"origins":"r.example/a"}')
    await node.ensure('r.example/a')
    await writeFile(`${node.store.blobs.path(DESCRIPTOR.digest)}.json`, '')
    await node.ensure('r.example/b')
    expect(node.asked).toEqual(['GET r.example/a', 'GET r.example/a', 'GET r.example/b'])
  })
})

describe('a blob that is on its way', () => {
  test('is waited for by another repository of its registry when that says yes', async () => {
    const gate = Promise.withResolvers<void>()
    await using node = await openNode({
      mayRead: () => true,
      gates: { 'r.example/a': gate.promise },
    })
    const first = node.ensure('r.example/a')
    await expect.poll(() => node.asked).toEqual(['GET r.example/a'])
    const second = node.ensure('r.example/b')
    await expect.poll(() => node.asked).toEqual(['GET r.example/a', 'HEAD r.example/b'])
    gate.resolve()
    await Promise.all([first, second])
    expect(await node.isFor('r.example/b')).toBe(true)
    expect(node.asked.length).toBe(2)
  })

  test('and fails is downloaded by who waited', async () => {
    const gate = Promise.withResolvers<void>()
    await using node = await openNode({
      mayRead: () => true,
      gates: { 'r.example/a': gate.promise },
    })
    const first = node.ensure('r.example/a')
    first.catch(() => undefined)
    await expect.poll(() => node.asked).toEqual(['GET r.example/a'])
    const second = node.ensure('r.example/b')
    await expect.poll(() => node.asked.length).toBe(2)
    gate.reject(new CodedError('DENIED', 'registry answered 403'))
    await expect(first).rejects.toThrow('registry answered 403')
    await second
    expect(node.asked).toEqual(['GET r.example/a', 'HEAD r.example/b', 'GET r.example/b'])
  })

  test('attack: a registry that says yes to any HEAD is not let in on it', async () => {
    const gate = Promise.withResolvers<void>()
    await using node = await openNode({
      mayRead: () => true,
      gates: { 'r.example/a': gate.promise },
    })
    const first = node.ensure('r.example/a')
    await expect.poll(() => node.asked).toEqual(['GET r.example/a'])
    // Ends although the other goes on.
    await node.ensure('evil.example/a')
    expect(node.asked).toEqual(['GET r.example/a', 'GET evil.example/a'])
    gate.resolve()
    await first
  })

  test('two that come at once do not wait for each other', async () => {
    await using node = await openNode({ mayRead: () => true })
    await Promise.all(['r.example/a', 'r.example/b', 'r.example/c'].map((at) => node.ensure(at)))
    expect(await node.isFor('r.example/c')).toBe(true)
  })
})

test('who joined a download is not told what only the first caller is refused', async () => {
  const gate = Promise.withResolvers<void>()
  await using node = await openNode({ gates: { 'r.example/a': gate.promise } })
  const first = node.ensure('r.example/a', 'mallory')
  first.catch(() => undefined)
  await expect.poll(() => node.asked).toEqual(['GET r.example/a'])
  const second = node.ensure('r.example/a', 'alice')
  // The gate stays as it is: of the second download only the rest is missing, and that is refused too.
  second.catch(() => undefined)
  gate.reject(new CodedError('UNAUTHENTICATED', 'registry answered 401'))
  await expect(first).rejects.toThrow('registry answered 401')
  await expect(second).rejects.toThrow('registry answered 401')
  expect(node.asked).toEqual(['GET r.example/a', 'GET r.example/a'])
})

describe('attack: blobs of which a byte comes now and then', () => {
  const trickled = Array.from({ length: 9 }, (_, n) => ({
    ...DESCRIPTOR,
    digest: digestOf(`evil ${n}`),
  }))

  /** A node of four downloads, and registries that send one byte of what is evil and no more until the caller goes. */
  async function openTrickle(patience?: Patience) {
    await using stack = new AsyncDisposableStack()
    const directory = stack.use(await temporaryDirectory())
    const store = stack.use(await openTestStore(directory.file('store')))
    const running: string[] = []
    const source: ArtifactSource = {
      resolve: () => Promise.reject(new Error('unused')),
      manifest: () => Promise.reject(new Error('unused')),
      async *blob({ registry }, { digest }, { offset = 0, signal }) {
        if (digest === OTHER.digest) {
          yield Buffer.from('other').subarray(offset)
          return
        }
        running.push(registry)
        if (offset === 0) yield Buffer.from('e')
        const { promise, reject } = Promise.withResolvers<never>()
        signal.addEventListener('abort', () => reject(signal.reason))
        await promise
      },
    }
    const blobs = stack.use(
      createBlobPuller({ store, source, maxDownloads: 4, ...(patience && { patience }) }),
    )
    const open = stack.move()
    return {
      running,
      ensure: (where: string, descriptor: typeof DESCRIPTOR) =>
        blobs.ensure(descriptor, where, {
          reference: parseReference(`${where}:v`),
          keyring: ANONYMOUS,
          signal: AbortSignal.timeout(30_000),
        }),
      left: (where: string, descriptor: typeof DESCRIPTOR) =>
        readFile(ingestPath(store.ingestDirectory, descriptor.digest, where), 'utf8'),
      [Symbol.asyncDispose]: () => open.disposeAsync(),
    }
  }

  test('of one registry leave a turn to the others', async () => {
    await using node = await openTrickle()
    for (const blob of trickled) node.ensure('evil.example/x', blob).catch(() => undefined)
    await expect.poll(() => node.running.length).toBe(3)
    await node.ensure('r.example/x', OTHER)
    expect(node.running.length).toBe(3)
  })

  test('of as many registries as there are turns give way to who waits, and keep what came', async () => {
    await using node = await openTrickle({ windowMs: 5, minBytesPerSecond: 1_000_000 })
    const held = Promise.allSettled(
      trickled.slice(0, 4).map((blob, n) => node.ensure(`evil${n}.example/x`, blob)),
    )
    await expect.poll(() => node.running.length).toBe(4)
    await node.ensure('r.example/x', OTHER)
    const [first] = await held
    expect(first).toEqual({
      status: 'rejected',
      reason: new CodedError(
        'UNAVAILABLE',
        `Cannot pull "evil0.example/x:v": blob ${trickled[0]?.digest} came in too slowly over the last 0 s while other downloads waited for their turn; what came is kept, and the next try goes on from there`,
      ),
    })
    expect(await node.left('evil0.example/x', trickled[0] ?? DESCRIPTOR)).toBe('e')
  })
})
