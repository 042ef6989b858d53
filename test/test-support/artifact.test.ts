import { readFile } from 'node:fs/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { digestOf } from '../../common/oci/digest.ts'
import {
  artifact,
  directoryLayer,
  image,
  index,
  manifestOf,
  writeLayout,
} from '../support/artifact.ts'
import { tarOf } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const EMPTY_DIGEST = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'

test('an artifact is what oras push writes', () => {
  const built = artifact({ layers: [{ title: 'hello.txt', content: 'hello' }] })
  expect(JSON.parse(built.manifest.toString())).toEqual({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: 'application/vnd.unknown.artifact.v1',
    config: {
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: EMPTY_DIGEST,
      size: 2,
      data: 'e30=',
    },
    layers: [
      {
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest: digestOf('hello'),
        size: 5,
        annotations: { 'org.opencontainers.image.title': 'hello.txt' },
      },
    ],
    annotations: { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' },
  })
  expect([...built.blobs]).toEqual([
    [EMPTY_DIGEST, Buffer.from('{}')],
    [digestOf('hello'), Buffer.from('hello')],
  ])
  expect(built.digest).toBe(digestOf(built.manifest))
})

test('a directory layer is a compressed tar of the directory, with the digest of the tar', () => {
  const layer = directoryLayer('site', [{ path: 'index.html', content: '<p>' }])
  const tar = gunzipSync(layer.content)
  expect(tar).toEqual(
    tarOf([
      { path: 'site', type: 'directory' },
      { path: 'site/index.html', content: '<p>' },
    ]),
  )
  expect(layer.annotations).toEqual({
    'io.deis.oras.content.digest': digestOf(tar),
    'io.deis.oras.content.unpack': 'true',
  })
})

test('an image names the digests of its uncompressed layers', () => {
  const tar = tarOf([{ path: 'a', content: 'a' }])
  const built = image({ layers: [tar], compression: 'zstd' })
  const { config, layers } = JSON.parse(built.manifest.toString())
  expect(JSON.parse(String(built.blobs.get(config.digest)))).toMatchObject({
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
  })
  expect(layers[0].mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd')
  const blob = built.blobs.get(layers[0].digest)
  expect(zstdDecompressSync(blob ?? Buffer.alloc(0))).toEqual(tar)
})

test('a layer may claim what is not there, and a manifest may be anything', () => {
  const built = artifact({ layers: [{ title: 'a', digest: 'sha256:../../x', size: -1 }] })
  expect(JSON.parse(built.manifest.toString()).layers).toMatchObject([
    { digest: 'sha256:../../x', size: -1 },
  ])
  expect(built.blobs.size).toBe(1)
  expect(manifestOf(Buffer.from('{"a":1,"a":2}')).manifest.toString()).toBe('{"a":1,"a":2}')
})

test('a layout holds several tags, and the latest of a name', async () => {
  await using directory = await temporaryDirectory()
  const layout = directory.file('acme', 'app')
  const one = artifact({ layers: [{ title: 'a', content: 'one' }] })
  const many = index([image({ layers: [] }), { built: one, annotations: { a: 'b' } }])
  await writeLayout(layout, 'v1', one)
  await writeLayout(layout, 'v2', one)
  await writeLayout(layout, 'v1', many)
  const json = async (file: string) => JSON.parse(await readFile(`${layout}/${file}`, 'utf8'))
  expect(await json('oci-layout')).toEqual({ imageLayoutVersion: '1.0.0' })
  expect((await json('index.json')).manifests).toMatchObject([
    { digest: one.digest, annotations: { 'org.opencontainers.image.ref.name': 'v2' } },
    { digest: many.digest, annotations: { 'org.opencontainers.image.ref.name': 'v1' } },
  ])
  for (const digest of [one.digest, many.digest, ...one.blobs.keys()]) {
    const bytes = await readFile(`${layout}/blobs/sha256/${digest.slice(7)}`)
    expect(digestOf(bytes)).toBe(digest)
  }
})
