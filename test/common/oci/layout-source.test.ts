import { execFileSync } from 'node:child_process'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../../../common/oci/digest.ts'
import type { FileReader } from '../../../common/oci/file-reader.ts'
import { createLayoutSource } from '../../../common/oci/layout-source.ts'
import { OCI_MANIFEST } from '../../../common/oci/media-types.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { blockingFileReader } from '../../../driver/pull/oci-layout/blocking-files.ts'
import { artifact, writeLayout } from '../../support/artifact.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts'

const BUILT = artifact({ layers: [{ title: 'a', content: 'hello' }] })
const NEXT = artifact({ layers: [{ title: 'a', content: 'world' }] })
const REFERENCE = { registry: 'layout.test', repository: 'app', tag: 'v1' }

function blobFile(directory: TemporaryDirectory, repository: string, digest: Digest): string {
  return directory.file(repository, 'blobs', digestAlgorithm(digest), digestHex(digest))
}

function layoutsIn(root: string, options: { files?: FileReader; maxManifestBytes?: number } = {}) {
  const source = createLayoutSource({ root, files: blockingFileReader, ...options })
  const { signal } = new AbortController()
  return {
    manifest: (reference = REFERENCE) => outcomeOf(source.manifest(reference, signal)),
    blob: (digest: Digest) =>
      outcomeOf(Array.fromAsync(source.openBlob(REFERENCE, digest, { signal, offset: 0 }))),
  }
}

/** The digest of what was found, or `CODE message`. */
async function outcomeOf(
  promise: Promise<{ readonly descriptor: Descriptor } | readonly Uint8Array[]>,
): Promise<string> {
  try {
    const found = await promise
    return 'descriptor' in found ? found.descriptor.digest : Buffer.concat(found).toString()
  } catch (error) {
    if (!(error instanceof RequestFailure)) return String(error)
    return `${error.code}${error.transient ? ' (again)' : ''} ${error.message}`
  }
}

describe('an index.json', () => {
  test.each([
    [
      '{"manifests":[',
      /^UNAVAILABLE \(again\) index\.json: not valid JSON.*; is somebody writing it\?$/,
    ],
    ['{}', /^CORRUPT index\.json: has no "manifests"$/],
    ['{"manifests":[]}', /^NOT_FOUND layout has no manifest "v1"$/],
  ])('%s', async (text, message) => {
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('app'))
    await writeFile(directory.file('app', 'index.json'), text)
    expect(await layoutsIn(directory.path).manifest()).toMatch(message)
  })

  test('that lists a manifest that is not there', async () => {
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('app'))
    const digest = `sha256:${'0'.repeat(64)}`
    const annotations = { 'org.opencontainers.image.ref.name': 'v1' }
    const manifests = [{ mediaType: OCI_MANIFEST, digest, size: 1, annotations }]
    await writeFile(directory.file('app', 'index.json'), JSON.stringify({ manifests }))
    expect(await layoutsIn(directory.path).manifest()).toBe(
      `NOT_FOUND layout has no manifest "${digest}"`,
    )
  })

  test('that is swapped, with the manifests, while it is read is read again', async () => {
    await using directory = await temporaryDirectory()
    await writeLayout(directory.file('app'), 'v1', BUILT)
    const old = blobFile(directory, 'app', BUILT.digest)
    let opened = 0
    const files: FileReader = {
      async open(root, path) {
        if (++opened === 2) {
          await rm(old)
          await writeLayout(directory.file('app'), 'v1', NEXT)
        }
        return blockingFileReader.open(root, path)
      },
    }
    expect(await layoutsIn(directory.path, { files }).manifest()).toBe(NEXT.digest)
  })

  test('of a repository that is not there', async () => {
    await using directory = await temporaryDirectory()
    expect(await layoutsIn(directory.path).manifest()).toBe(
      'NOT_FOUND layout has no repository "app"',
    )
  })

  test('in a directory that is not there: somebody forgot to mount it', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.file('absent')
    expect(await layoutsIn(root).manifest()).toBe(
      `UNAVAILABLE there is no directory "${root}" for OCI layouts; is it mounted here, and into the driver's container?`,
    )
  })
})

describe('a file system in trouble', () => {
  test.each(['EIO', 'ESTALE', 'ENOTCONN', 'ETIMEDOUT'])(
    'that says %s may be better a little later',
    async (code) => {
      const files: FileReader = {
        open: () => Promise.reject(Object.assign(new Error(code), { code, syscall: 'open' })),
      }
      expect(await layoutsIn('/srv/artifacts', { files }).manifest()).toBe(
        `UNAVAILABLE (again) cannot read the OCI layouts in "/srv/artifacts": ${code}`,
      )
    },
  )

  test('that says EIO in the middle of a file', async () => {
    await using directory = await temporaryDirectory()
    await writeLayout(directory.file('app'), 'v1', BUILT)
    const files: FileReader = {
      async open(root, path) {
        const file = await blockingFileReader.open(root, path)
        const read = () =>
          Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 }))
        return { ...file, read, [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]() }
      },
    }
    const layouts = layoutsIn(directory.path, { files })
    const message = `UNAVAILABLE (again) cannot read the OCI layouts in "${directory.path}": EIO`
    expect([await layouts.manifest(), await layouts.blob(BUILT.digest)]).toEqual([message, message])
  })

  test('that denies is not asked again', async () => {
    const files: FileReader = {
      open: () => Promise.reject(Object.assign(new Error(), { code: 'EACCES', syscall: 'open' })),
    }
    expect(await layoutsIn('/srv/artifacts', { files }).manifest()).toBe(
      'DENIED cannot read the OCI layouts in "/srv/artifacts": EACCES',
    )
  })
})

test('a manifest larger than the limit says which flag raises it', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  expect(await layoutsIn(directory.path, { maxManifestBytes: 10 }).manifest()).toBe(
    'EXHAUSTED manifest is larger than 10 bytes (the limit --max-manifest-bytes, which an admin can raise)',
  )
})

test('a blob that is no manifest is none by its digest', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  const reference = { ...REFERENCE, digest: digestOf('hello') }
  expect(await layoutsIn(directory.path).manifest(reference)).toMatch(
    /^CORRUPT manifest: not valid JSON/,
  )
})

describe('links in a layout', () => {
  test('that stay in the directory are followed', async () => {
    await using directory = await temporaryDirectory()
    await writeLayout(directory.file('releases', '3'), 'v1', BUILT)
    await symlink('releases/3', directory.file('app'))
    const file = blobFile(directory, 'app', BUILT.digest)
    await rename(file, directory.file('elsewhere'))
    await symlink('../../../../elsewhere', file)
    expect(await layoutsIn(directory.path).manifest()).toBe(BUILT.digest)
  })

  test.each([
    ['an absolute one', (secret: string) => secret],
    ['one upwards', () => '../../../../../outside/secret'],
    ['one through the process', (secret: string) => `/proc/self/root${secret}`],
  ])("do not show a file of the node's by its digest: %s", async (_, target) => {
    await using directory = await temporaryDirectory()
    const secret = directory.file('outside', 'secret')
    await mkdir(directory.file('outside'))
    await writeFile(secret, 'hunter2')
    const root = directory.file('root')
    await writeLayout(directory.file('root', 'app'), 'v1', BUILT)
    const digest = digestOf('hunter2')
    await symlink(
      target(secret),
      directory.file('root', 'app', 'blobs', 'sha256', digestHex(digest)),
    )
    expect(await layoutsIn(root).blob(digest)).toBe(
      `DENIED a symbolic link leads out of the OCI layouts in "${root}"; expected relative links that stay inside`,
    )
  })

  test('do not make a repository of a directory outside', async () => {
    await using directory = await temporaryDirectory()
    await writeLayout(directory.file('private'), 'v1', BUILT)
    const root = directory.file('root')
    await mkdir(root)
    await symlink('../private', directory.file('root', 'app'))
    expect(await layoutsIn(root).manifest()).toMatch(/^DENIED a symbolic link leads out of /)
  })

  test('in a circle end', async () => {
    await using directory = await temporaryDirectory()
    await symlink('app', directory.file('app'))
    expect(await layoutsIn(directory.path).manifest()).toMatch(/^DENIED a symbolic link /)
  })

  test('for the directory itself are the business of who configured it', async () => {
    await using directory = await temporaryDirectory()
    await writeLayout(directory.file('disk', 'app'), 'v1', BUILT)
    await symlink(directory.file('disk'), directory.file('current'))
    expect(await layoutsIn(directory.file('current')).manifest()).toBe(BUILT.digest)
  })
})

test('a path for a repository, or for a digest, is refused before a path is made of it', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  const layouts = layoutsIn(directory.file('app', 'blobs'))
  expect(await layouts.manifest({ ...REFERENCE, repository: '../../app' })).toMatch(
    /Invalid reference/,
  )
  expect(await layouts.blob('sha256:../../index.json')).toMatch(/Invalid digest/)
})

test('a FIFO in place of a blob does not hang the reader', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  const file = blobFile(directory, 'app', BUILT.digest)
  await rm(file)
  execFileSync('mkfifo', [file])
  expect(await layoutsIn(directory.path).manifest()).toBe(
    `CORRUPT manifest "${BUILT.digest}" is no regular file in the layout`,
  )
})
