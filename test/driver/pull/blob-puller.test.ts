import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { ArtifactSource } from '../../../common/oci/artifact-source.ts'
import { ANONYMOUS } from '../../../common/oci/credentials.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import { createBlobPuller } from '../../../driver/pull/blob-puller.ts'
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
