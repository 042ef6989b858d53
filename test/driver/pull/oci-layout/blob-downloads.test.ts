import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createBlobRoute } from '../../../../common/oci/blob-route.ts'
import type { Descriptor } from '../../../../common/oci/descriptor.ts'
import { digestHex, digestOf } from '../../../../common/oci/digest.ts'
import type { Host } from '../../../../common/oci/hosts.ts'
import { createRegistrySource } from '../../../../common/oci/registry-source.ts'
import { createDownloadThreads } from '../../../../driver/pull/download/download-threads.ts'
import { createRunningDownload } from '../../../../driver/pull/download/running-download.ts'
import { createBlobDownloads } from '../../../../driver/pull/oci-layout/blob-downloads.ts'
import { createSeparateLayoutSource } from '../../../../driver/pull/oci-layout/separate-layout-source.ts'
import { anonymously, failure } from '../../../common/oci/artifact-source.conformance.ts'
import { artifact, writeLayout } from '../../../support/artifact.ts'
import { directoryHost, hostsOf, webHost } from '../../../support/layout-hosts.ts'
import { startStaticFiles } from '../../../support/static-files.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

const CONTENT = randomBytes(3_000_017)
const BLOB: Descriptor = {
  mediaType: 'a/b',
  digest: digestOf(CONTENT),
  size: CONTENT.length,
  annotations: {},
}
const REFERENCE = { registry: 'layout.test', repository: 'app', tag: 'v1' }

/** A layout on the disk, the same behind a web server, and what downloads from them. */
async function started(choose: (hosts: { disk: Host; web: Host }) => readonly Host[]) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const built = artifact({ layers: [{ title: 'a', content: CONTENT }] })
  for (const place of ['disk', 'web']) await writeLayout(directory.file(place, 'app'), 'v1', built)
  const server = stack.use(await startStaticFiles({ root: directory.file('web') }))
  const hosts = hostsOf(
    ...choose({ disk: directoryHost(directory.file('disk')), web: webHost(server.url) }),
  )
  const retry = { baseMs: 1 }
  const layoutDirectories = stack.use(createSeparateLayoutSource({ retry }))
  const source = stack.use(createRegistrySource({ hosts, layoutDirectories, retry }))
  const threads = createDownloadThreads({ source, retryBaseMs: 1 })
  const downloads = stack.use(createBlobDownloads({ hosts, layouts: layoutDirectories, threads }))
  const download = createRunningDownload(directory.file('ingest'))
  const route = createBlobRoute()
  const made = stack.move()
  return {
    server,
    route,
    file: directory.file('disk', 'app', 'blobs', 'sha256', digestHex(BLOB.digest)),
    run: () =>
      downloads
        .download({ ...anonymously(), reference: REFERENCE, descriptor: BLOB, download, route })
        .catch(failure),
    isWhole: async () => (await readFile(directory.file('ingest'))).equals(CONTENT),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

describe('a big blob', () => {
  test('of a directory is copied', async () => {
    await using from = await started(({ disk }) => [disk])
    expect(await from.run()).toBe('verified')
    expect(await from.isWhole()).toBe(true)
  })

  test('of a web server is downloaded', async () => {
    await using from = await started(({ web, disk }) => [web, disk])
    expect(await from.run()).toBe('verified')
    expect(await from.isWhole()).toBe(true)
    expect(from.server.requests.length).toBeGreaterThan(0)
  })

  test('that the directory does not have is downloaded from the next host', async () => {
    await using from = await started(({ disk, web }) => [disk, web])
    await rm(from.file)
    expect(await from.run()).toBe('verified')
    expect(await from.isWhole()).toBe(true)
  })

  test('of a directory that may not be asked for content comes from the next host', async () => {
    await using from = await started(({ disk, web }) => [
      { ...disk, capabilities: { pull: false, resolve: true } },
      web,
    ])
    expect(await from.run()).toBe('verified')
    expect(from.server.requests.length).toBeGreaterThan(0)
  })

  test('that only the directory could have and has not is NOT_FOUND', async () => {
    await using from = await started(({ disk }) => [disk])
    await rm(from.file)
    expect(await from.run()).toBe(
      `NOT_FOUND Cannot pull "layout.test/app:v1": layout has no blob ${BLOB.digest}`,
    )
  })

  test('of other bytes is CORRUPT, and the directory is not asked again', async () => {
    await using from = await started(({ disk, web }) => [disk, web])
    await writeFile(from.file, Buffer.alloc(CONTENT.length))
    expect(await from.run()).toMatch(
      /^CORRUPT Cannot pull "layout.test\/app:v1": the bytes of blob sha256:\w+ hash to sha256:\w+$/,
    )
    expect(from.route.distrust()).toMatchObject({ isAnyLeft: true })
    expect(await from.run()).toBe('verified')
    expect(await from.isWhole()).toBe(true)
  })
})
