import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Descriptor } from '../../../../common/oci/descriptor.ts'
import { digestAlgorithm, digestHex, digestOf } from '../../../../common/oci/digest.ts'
import { createRegistrySource } from '../../../../common/oci/registry-source.ts'
import { readBytes } from '../../../../driver/pull/download/byte-counter.ts'
import { createRunningDownload } from '../../../../driver/pull/download/running-download.ts'
import { createSeparateLayoutSource } from '../../../../driver/pull/oci-layout/separate-layout-source.ts'
import { readWatermark } from '../../../../driver/pull/watermark.ts'
import {
  anonymously,
  describeArtifactSource,
  failure,
} from '../../../common/oci/artifact-source.conformance.ts'
import { artifact, writeLayout } from '../../../support/artifact.ts'
import { directoryHost, hostsOf } from '../../../support/layout-hosts.ts'
import { poll } from '../../../support/poll.ts'
import { startProcess, withMessage } from '../../../support/process.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import {
  mountStallingFileSystem,
  type StallingFileSystem,
  whyNoStallingFileSystem,
} from '../../../support/stalling-file-system.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

const why = await whyNoStallingFileSystem()
const REFERENCE = { registry: 'layout.test', repository: 'app', tag: 'v1' }
const CONTENT = Buffer.alloc(3_000_017, 'oras-csi ')
const BUILT = artifact({ layers: [{ title: 'a', content: CONTENT }] })
const BLOB: Descriptor = {
  mediaType: 'a/b',
  digest: digestOf(CONTENT),
  size: CONTENT.length,
  annotations: {},
}

describeArtifactSource('an OCI layout read by other processes', async () => {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const layoutDirectories = stack.use(createSeparateLayoutSource())
  const hosts = hostsOf(directoryHost(directory.path))
  const source = stack.use(createRegistrySource({ hosts, layoutDirectories, retry: { baseMs: 1 } }))
  const made = stack.move()
  return {
    source,
    registry: 'layout.test',
    sender: 'layout',
    put: async (repository, tag, built) => {
      await mkdir(directory.file(repository), { recursive: true })
      await writeLayout(directory.file(repository), tag, built)
    },
    spoil: (repository, digest, bytes) =>
      writeFile(
        directory.file(repository, 'blobs', digestAlgorithm(digest), digestHex(digest)),
        bytes,
      ),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
})

describe('a blob that is copied into an ingest file', () => {
  async function layout(content: Uint8Array = CONTENT) {
    await using stack = new AsyncDisposableStack()
    const directory = stack.use(await temporaryDirectory())
    await writeLayout(directory.file('app'), 'v1', BUILT)
    await writeFile(directory.file('app', 'blobs', 'sha256', digestHex(BLOB.digest)), content)
    const source = stack.use(createSeparateLayoutSource({ retry: { baseMs: 1 } }))
    const host = directoryHost(directory.path)
    const path = directory.file('ingest')
    const download = createRunningDownload(path)
    const made = stack.move()
    return {
      path,
      download,
      copy: () =>
        source.download(host, {
          ...anonymously(),
          reference: REFERENCE,
          descriptor: BLOB,
          download,
        }),
      [Symbol.asyncDispose]: () => made.disposeAsync(),
    }
  }

  test('is there, whole and verified, and the watermark follows', async () => {
    await using from = await layout()
    expect(await from.copy()).toBe('verified')
    expect((await readFile(from.path)).equals(CONTENT)).toBe(true)
    expect(readWatermark(from.download.watermark)).toEqual({ state: 'running', bytes: BLOB.size })
    expect(readBytes(from.download.received)).toBe(BLOB.size)
  })

  test('goes on where an earlier try ended', async () => {
    await using from = await layout(
      Buffer.concat([Buffer.alloc(1_000_000), CONTENT.subarray(1_000_000)]),
    )
    await writeFile(from.path, CONTENT.subarray(0, 1_000_000))
    expect(await from.copy()).toBe('verified')
    expect((await readFile(from.path)).equals(CONTENT)).toBe(true)
  })

  test('is begun again when the earlier try was wrong', async () => {
    await using from = await layout()
    await writeFile(from.path, 'not the beginning')
    expect(await from.copy()).toBe('stale')
    expect(existsSync(from.path)).toBe(false)
    expect(await from.copy()).toBe('verified')
  })

  test.each([
    [
      'longer',
      Buffer.concat([CONTENT, CONTENT]),
      /layout has more than the 3000017 bytes of blob sha256:/,
    ],
    ['shorter', CONTENT.subarray(0, 5), /layout has 5 of the 3000017 bytes of blob sha256:/],
    ['wrong', Buffer.alloc(CONTENT.length), /the bytes of blob sha256:\w+ hash to sha256:/],
  ])('is refused when it is %s, and nothing stays', async (_, content, message) => {
    await using from = await layout(content)
    await expect(from.copy()).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringMatching(message),
    })
    expect(existsSync(from.path)).toBe(false)
  })
})

test('the limit of manifests holds where they are read', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  await using source = createSeparateLayoutSource({ maxManifestBytes: 10 })
  const host = directoryHost(directory.path)
  expect(await source.manifest(host, REFERENCE, anonymously()).then(String, failure)).toBe(
    'EXHAUSTED manifest is larger than 10 bytes (the limit --max-manifest-bytes, which an admin can raise)',
  )
})

test('a part of a blob that begins and ends anywhere', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  await using source = createSeparateLayoutSource()
  const host = directoryHost(directory.path)
  for (const [start, end] of [
    [0, 1],
    [5, 1_048_577],
    [1_048_576, 2_097_152],
    [2_000_000, BLOB.size],
  ] as const) {
    const opened = await source.openBlob(host, REFERENCE, BLOB, { ...anonymously(), start, end })
    if (opened.kind !== 'stream') throw new Error('Expected a stream')
    const bytes = Buffer.concat(await Array.fromAsync(opened.chunks))
    expect(bytes.equals(CONTENT.subarray(start, end))).toBe(true)
  }
})

describe('a file system that hangs', () => {
  async function hanging(context: { skip(condition: boolean, note?: string): void }) {
    skipUnless(context, why)
    const files = await mountStallingFileSystem()
    await writeLayout(join(files.source, 'app'), 'v1', BUILT)
    return files
  }

  function slow(files: StallingFileSystem): string {
    return `UNAVAILABLE reading the OCI layouts in "${files.mounted}" took longer than 0.5 s; is its file system there?`
  }

  test('costs the deadline, and the process nothing: its files and other layouts are read meanwhile', async (context) => {
    await using files = await hanging(context)
    await using directory = await temporaryDirectory()
    await writeLayout(directory.file('app'), 'v1', BUILT)
    await using source = createSeparateLayoutSource({ deadlineMs: 500 })
    const host = directoryHost(files.mounted)
    expect((await source.resolve(host, REFERENCE, anonymously())).digest).toBe(BUILT.digest)
    files.stall()
    const download = createRunningDownload(directory.file('ingest'))
    const questions = Promise.all([
      source.resolve(host, REFERENCE, anonymously()).then(String, failure),
      source.manifest(host, REFERENCE, anonymously()).then(String, failure),
      source
        .openBlob(host, REFERENCE, BLOB, { ...anonymously(), start: 0, end: BLOB.size })
        .then(String, failure),
      source
        .download(host, { ...anonymously(), reference: REFERENCE, descriptor: BLOB, download })
        .then(String, failure),
    ])
    // More than Node has threads for files.
    const own = Array.from({ length: 8 }, () =>
      readFile(directory.file('app', 'index.json'), 'utf8'),
    )
    expect(new Set(await Promise.all(own)).size).toBe(1)
    expect(
      (await source.manifest(directoryHost(directory.path), REFERENCE, anonymously())).descriptor
        .digest,
    ).toBe(BUILT.digest)
    expect(await questions).toEqual([slow(files), slow(files), slow(files), slow(files)])
    expect(source.hungIn(files.mounted)).toBeGreaterThan(0)

    files.resume()
    await poll(() => source.hungIn(files.mounted) === 0, {
      deadlineMs: 20_000,
      what: 'what hung to end',
    })
    expect(
      await source.download(host, {
        ...anonymously(),
        reference: REFERENCE,
        descriptor: BLOB,
        download,
      }),
    ).toBe('verified')
    expect((await readFile(download.path)).equals(CONTENT)).toBe(true)
  })

  test('is not asked again and again: each hung read holds memory', async (context) => {
    await using files = await hanging(context)
    await using source = createSeparateLayoutSource({ deadlineMs: 500 })
    const host = directoryHost(files.mounted)
    files.stall()
    const outcomes: string[] = []
    for (let i = 0; i < 5; i++) {
      outcomes.push(await source.manifest(host, REFERENCE, anonymously()).then(String, failure))
    }
    expect(outcomes.slice(0, 4)).toEqual(Array.from({ length: 4 }, () => slow(files)))
    expect(outcomes[4]).toBe(
      `UNAVAILABLE 4 reads of the OCI layouts in "${files.mounted}" hang; is its file system there?`,
    )
    files.resume()
    await poll(() => source.hungIn(files.mounted) === 0, {
      deadlineMs: 20_000,
      what: 'what hung to end',
    })
    expect((await source.manifest(host, REFERENCE, anonymously())).descriptor.digest).toBe(
      BUILT.digest,
    )
  })

  test('in the middle of a blob: what was copied stays, and a caller who gives up is let go at once', async (context) => {
    await using files = await hanging(context)
    await using directory = await temporaryDirectory()
    await using source = createSeparateLayoutSource({ deadlineMs: 60_000 })
    const host = directoryHost(files.mounted)
    // Warm, so that the stall hits the reading of the blob.
    await source.resolve(host, REFERENCE, anonymously())
    files.stall()
    const given = new AbortController()
    const copying = source.download(host, {
      ...{ reference: REFERENCE, descriptor: BLOB, signal: given.signal },
      download: createRunningDownload(directory.file('ingest')),
    })
    await poll(() => existsSync(directory.file('ingest')), { deadlineMs: 20_000, what: 'the copy' })
    given.abort(new Error('nobody waits'))
    await expect(copying).rejects.toThrow('nobody waits')
    files.resume()
  })

  test('does not keep a process from ending', async (context) => {
    await using files = await hanging(context)
    await using directory = await temporaryDirectory()
    files.stall()
    await using program = startProcess({
      args: [
        'test/driver/pull/oci-layout/hanging-program.ts',
        ...[files.mounted, directory.file('ingest'), 'hello', '500'],
      ],
    })
    expect(await program.exited).toEqual({ code: 0, signal: null })
    expect(program.lines.at(-1)?.json?.['msg']).toMatch(/took longer than 0.5 s/)
  })

  test('and a process that is killed meanwhile: nobody goes on writing to what the next one takes up', async (context) => {
    await using files = await hanging(context)
    await using directory = await temporaryDirectory()
    files.stall()
    await using program = startProcess({
      args: [
        'test/driver/pull/oci-layout/hanging-program.ts',
        ...[files.mounted, directory.file('ingest'), 'hello', '60000'],
      ],
    })
    await program.waitForLine(withMessage('copying'))
    await poll(() => readersOf(program.pid).length === 1 && existsSync(directory.file('ingest')), {
      deadlineMs: 20_000,
      what: 'the reader to copy',
    })
    program.kill('SIGKILL')
    await program.exited
    files.resume()
    await poll(() => readersOf(program.pid).length === 0, {
      deadlineMs: 20_000,
      what: 'the reader to end',
    })
  })
})

/** Reader processes that a process started, and that have not ended. */
function readersOf(pid: number): string[] {
  return readdirSync('/proc').filter((entry) => {
    try {
      const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')
      const isReader = args.some((arg) => arg.endsWith('/oci-layout/reader.ts'))
      return isReader && args.at(-2) === String(pid)
    } catch {
      // No process, or one that has ended meanwhile.
      return false
    }
  })
}
