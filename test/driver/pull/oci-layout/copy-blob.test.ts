import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { createLayoutSource } from '../../../../common/oci/layout-source.ts'
import { blockingFileReader } from '../../../../driver/pull/oci-layout/blocking-files.ts'
import { copyBlob } from '../../../../driver/pull/oci-layout/copy-blob.ts'
import { artifact, writeLayout } from '../../../support/artifact.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

const MEBIBYTE = 1024 * 1024

test('a copy that is taken up gives a sign of life while it hashes what is there: it is not to be taken for one that hangs', async () => {
  const content = Buffer.alloc(50 * MEBIBYTE, 'oras-csi ')
  const digest = digestOf(content)
  await using directory = await temporaryDirectory()
  const built = artifact({ layers: [{ title: 'a', content }] })
  await writeLayout(directory.file('app'), 'v1', built)
  const path = directory.file('ingest')
  await writeFile(path, content)
  const words: number[] = []
  const outcome = await copyBlob(
    createLayoutSource({ root: directory.path, files: blockingFileReader }),
    {
      reference: { registry: 'layout.test', repository: 'app', tag: 'v1' },
      descriptor: { mediaType: 'a/b', digest, size: content.length, annotations: {} },
      path,
    },
    (received) => words.push(received),
  )
  expect(outcome).toEqual({ kind: 'verified' })
  // Every 16 MiB, and when it begins and ends to read.
  expect(words).toEqual(Array.from({ length: 5 }, () => content.length))
})
