import { execFileSync } from 'node:child_process'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Digest, digestAlgorithm, digestHex } from '../../../common/oci/digest.ts'
import { createLayoutSource } from '../../../common/oci/layout-source.ts'
import { OCI_MANIFEST } from '../../../common/oci/media-types.ts'
import { artifact, writeLayout } from '../../support/artifact.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts'
import {
  anonymously,
  collect,
  describeArtifactSource,
  failure,
} from './artifact-source.conformance.ts'

function blobFile(directory: TemporaryDirectory, repository: string, digest: Digest): string {
  return directory.file(repository, 'blobs', digestAlgorithm(digest), digestHex(digest))
}

describeArtifactSource('an OCI layout directory', async () => {
  const directory = await temporaryDirectory()
  return {
    source: createLayoutSource({ root: directory.path }),
    registry: 'layout.test',
    sender: 'layout',
    put: async (repository, tag, built) => {
      await mkdir(directory.file(repository), { recursive: true })
      await writeLayout(directory.file(repository), tag, built)
    },
    spoil: (repository, digest, bytes) => writeFile(blobFile(directory, repository, digest), bytes),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
})

const BUILT = artifact({ layers: [{ title: 'a', content: 'hello' }] })
const REFERENCE = { registry: 'layout.test', repository: 'app', tag: 'v1' }
const SUBJECT = 'Cannot pull "layout.test/app:v1"'

async function manifestFailure(root: string): Promise<string> {
  return createLayoutSource({ root })
    .manifest(REFERENCE, anonymously())
    .then(() => 'nothing thrown', failure)
}

test.each([
  ['{"manifests":[', `CORRUPT ${SUBJECT}: index.json: not valid JSON`],
  ['{}', `CORRUPT ${SUBJECT}: index.json: has no "manifests"`],
  [
    '{"manifests":[{"mediaType":"a/b","size":1,"digest":"sha256:../../../etc/shadow"}]}',
    `CORRUPT ${SUBJECT}: index.json.manifests[0].digest: expected "sha256:" and 64, or "sha512:" and 128, lowercase hex characters, found "sha256:../../../etc/shadow"`,
  ],
  ['{"manifests":[]}', `NOT_FOUND ${SUBJECT}: layout has no manifest "v1"`],
])('index.json %s', async (text, message) => {
  await using directory = await temporaryDirectory()
  await mkdir(directory.file('app'))
  await writeFile(directory.file('app', 'index.json'), text)
  expect(await manifestFailure(directory.path)).toBe(message)
})

test('a repository that is not there', async () => {
  await using directory = await temporaryDirectory()
  expect(await manifestFailure(directory.path)).toBe(
    `NOT_FOUND ${SUBJECT}: layout has no repository "app"`,
  )
})

test('two manifests with one tag', async () => {
  await using directory = await temporaryDirectory()
  const entry = (digit: string) => ({
    mediaType: OCI_MANIFEST,
    digest: `sha256:${digit.repeat(64)}`,
    size: 1,
    annotations: { 'org.opencontainers.image.ref.name': 'v1' },
  })
  await mkdir(directory.file('app'))
  const write = (...entries: object[]) =>
    writeFile(directory.file('app', 'index.json'), JSON.stringify({ manifests: entries }))
  await write(entry('0'), entry('1'))
  expect(await manifestFailure(directory.path)).toBe(
    `CORRUPT ${SUBJECT}: layout has several manifests "v1"; expected one`,
  )
  await write(entry('0'), entry('0'))
  expect(await manifestFailure(directory.path)).toBe(
    `NOT_FOUND ${SUBJECT}: layout has no manifest "sha256:${'0'.repeat(64)}"`,
  )
})

test('a path for a repository, or for a digest, is refused before a path is made of it', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  const source = createLayoutSource({ root: directory.file('app', 'blobs') })
  const reference = { registry: 'layout.test', repository: '../../app', tag: 'v1' }
  await expect(source.manifest(reference, anonymously())).rejects.toMatchObject({ code: 'INVALID' })
  const digest: Digest = 'sha256:../../index.json'
  const blob = { mediaType: 'a/b', digest, size: 1, annotations: {} }
  const { error } = await collect(
    createLayoutSource({ root: directory.path }).blob(REFERENCE, blob, anonymously()),
  )
  expect(error).toMatchObject({ code: 'INVALID' })
})

test('a FIFO in place of a blob does not hang the reader', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  const file = blobFile(directory, 'app', BUILT.digest)
  await rm(file)
  execFileSync('mkfifo', [file])
  expect(await manifestFailure(directory.path)).toBe(
    `CORRUPT ${SUBJECT}: manifest "${BUILT.digest}" is no regular file`,
  )
})

test('a link to a secret of the node in place of a manifest shows nothing of it', async () => {
  await using directory = await temporaryDirectory()
  await writeLayout(directory.file('app'), 'v1', BUILT)
  const file = blobFile(directory, 'app', BUILT.digest)
  await rm(file)
  await writeFile(directory.file('secret'), 'hunter2')
  await symlink(directory.file('secret'), file)
  const message = await manifestFailure(directory.path)
  expect(message).toMatch(/^CORRUPT .* hashes to sha256:[0-9a-f]{64}$/)
  await rm(directory.file('app', 'index.json'))
  await symlink(directory.file('secret'), directory.file('app', 'index.json'))
  expect(await manifestFailure(directory.path)).toBe(
    `CORRUPT ${SUBJECT}: index.json: not valid JSON`,
  )
})
