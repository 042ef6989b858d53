import { expect, test } from 'vitest'
import { CodedError } from '../../../common/errors.ts'
import type { ArtifactSource } from '../../../common/oci/artifact-source.ts'
import { ANONYMOUS } from '../../../common/oci/credentials.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import { createRunningDownload } from '../../../driver/pull/download/running-download.ts'
import { fetchBlob } from '../../../driver/pull/fetch-blob.ts'
import { ingestPath } from '../../../driver/store/ingest-files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { openTestStore } from '../store/open-test-store.ts'

test('a server without ranges that breaks in the middle each time is given up', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.file('store'))
  let full = 0
  const stop = new AbortController()
  const source: ArtifactSource = {
    resolve: () => Promise.reject(new Error('unused')),
    manifest: () => Promise.reject(new Error('unused')),
    async *blob(_, _descriptor, { offset = 0 }) {
      if (offset > 0) throw new CodedError('INVALID', 'no ranges')
      full += 1
      if (full === 20) stop.abort(new Error('twenty times'))
      yield Buffer.from('half')
      throw new CodedError('UNAVAILABLE', 'broke')
    },
  }
  const origin = 'r.example/x'
  const descriptor = {
    digest: digestOf('halfhalf'),
    size: 8,
    mediaType: 'application/octet-stream',
    annotations: {},
  }
  await expect(
    fetchBlob({
      source,
      reference: parseReference('r.example/x:v'),
      descriptor,
      keyring: ANONYMOUS,
      blobs: store.blobs,
      origin,
      signal: stop.signal,
      download: createRunningDownload(ingestPath(store.ingestDirectory, descriptor.digest, origin)),
    }),
  ).rejects.toThrow('broke')
})
