import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError, isCodedError } from '../../../common/errors.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import { DEFAULT_MANIFEST_LIMITS, parseManifest } from '../../../common/oci/manifest.ts'
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_ARTIFACT_MANIFEST,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../../common/oci/media-types.ts'

const A = `sha256:${'a'.repeat(64)}`
const LAYER = { mediaType: 'text/plain', digest: A, size: 3 }
const MANIFEST = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: LAYER, layers: [LAYER] }
const INDEX = {
  schemaVersion: 2,
  mediaType: OCI_INDEX,
  manifests: [{ ...LAYER, mediaType: OCI_MANIFEST }],
}

function parse(value: unknown) {
  return parseManifest(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))
}

/** With ordinary objects, so that they compare equal to literals. */
function plain(value: unknown): unknown {
  return structuredClone(value)
}

function outcomeOf(value: unknown): string {
  try {
    parse(value)
  } catch (error) {
    if (error instanceof CodedError) return `${error.code} ${error.message}`
    throw error
  }
  return 'nothing thrown'
}

describe('parseManifest reads', () => {
  test('an artifact', () => {
    const document = {
      ...MANIFEST,
      artifactType: 'application/vnd.acme',
      annotations: { a: 'b', Layers: 'free', layers: 'too' },
      subject: LAYER,
      layers: [
        { ...LAYER, annotations: { 'org.opencontainers.image.title': 'x' }, urls: ['http://evil'] },
      ],
    }
    expect(plain(parse(document))).toStrictEqual({
      kind: 'manifest',
      mediaType: OCI_MANIFEST,
      artifactType: 'application/vnd.acme',
      config: { ...LAYER, annotations: {} },
      layers: [{ ...LAYER, annotations: { 'org.opencontainers.image.title': 'x' } }],
      annotations: { a: 'b', Layers: 'free', layers: 'too' },
    })
  })

  test('an index, whose empty platforms count as none', () => {
    const child = { ...LAYER, mediaType: OCI_MANIFEST }
    const document = {
      ...INDEX,
      manifests: [
        {
          ...child,
          platform: { os: 'linux', architecture: 'arm64', variant: 'v8', 'os.version': '1' },
        },
        { ...child, platform: { os: '', architecture: '' }, artifactType: 'a/b' },
      ],
    }
    expect(plain(parse(document))).toStrictEqual({
      kind: 'index',
      mediaType: OCI_INDEX,
      manifests: [
        {
          ...child,
          annotations: {},
          platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
        },
        { ...child, annotations: {}, artifactType: 'a/b' },
      ],
      annotations: {},
    })
  })

  test.each([
    ['Docker schema 2', { ...MANIFEST, mediaType: DOCKER_MANIFEST }, 'manifest', DOCKER_MANIFEST],
    [
      'a Docker manifest list',
      { ...INDEX, mediaType: DOCKER_MANIFEST_LIST },
      'index',
      DOCKER_MANIFEST_LIST,
    ],
    [
      'the withdrawn artifact manifest',
      { mediaType: OCI_ARTIFACT_MANIFEST, blobs: [LAYER] },
      'manifest',
      OCI_ARTIFACT_MANIFEST,
    ],
    [
      'a manifest that leaves its type out',
      { schemaVersion: 2, config: LAYER, layers: [] },
      'manifest',
      OCI_MANIFEST,
    ],
    ['an index that leaves its type out', { schemaVersion: 2, manifests: [] }, 'index', OCI_INDEX],
  ])('%s', (_, document, kind, mediaType) => {
    expect(parse(document)).toMatchObject({ kind, mediaType })
  })

  test('the blobs of the withdrawn artifact manifest as layers', () => {
    expect(plain(parse({ mediaType: OCI_ARTIFACT_MANIFEST, blobs: [LAYER] }))).toStrictEqual({
      kind: 'manifest',
      mediaType: OCI_ARTIFACT_MANIFEST,
      layers: [{ ...LAYER, annotations: {} }],
      annotations: {},
    })
  })

  test('embedded data that is what its descriptor says', () => {
    const config = { mediaType: 'a/b', digest: digestOf('{}'), size: 2, data: 'e30=' }
    expect(parse({ ...MANIFEST, config })).toMatchObject({ config: { size: 2 } })
  })
})

describe('parseManifest refuses', () => {
  test.each<[string, unknown, string]>([
    ['HTML', '<html>', 'CORRUPT manifest: not valid JSON'],
    ['an array', [], 'CORRUPT manifest: expected an object, found an array'],
    [
      'an empty object',
      {},
      'INVALID Unsupported manifest: neither "layers" nor "manifests"; expected a manifest or an index',
    ],
    [
      'Docker schema 1',
      { schemaVersion: 1, fsLayers: [] },
      'INVALID Unsupported manifest: Docker schema 1; push the image again with a current tool',
    ],
    [
      'another kind',
      { schemaVersion: 2, mediaType: 'application/vnd.acme+json', layers: [] },
      'INVALID Unsupported manifest: media type "application/vnd.acme+json"; expected an OCI or Docker manifest or index',
    ],
    [
      'another version',
      { schemaVersion: 3, layers: [] },
      'INVALID Unsupported manifest: another schemaVersion; expected 2',
    ],
    [
      'CVE-2021-41190: layers and manifests',
      { ...MANIFEST, manifests: [] },
      'CORRUPT manifest: has both "manifests" and "layers"; expected one of them',
    ],
    [
      'CVE-2021-41190: layers in an index',
      { schemaVersion: 2, mediaType: OCI_INDEX, layers: [] },
      `CORRUPT manifest: has "layers", but is a "${OCI_INDEX}"`,
    ],
    [
      'CVE-2021-41190: manifests in a manifest',
      { schemaVersion: 2, mediaType: OCI_MANIFEST, manifests: [] },
      `CORRUPT manifest: has "manifests", but is a "${OCI_MANIFEST}"`,
    ],
    [
      'CVE-2021-41190: a config in an index',
      { ...INDEX, config: LAYER },
      'CORRUPT manifest: has both "manifests" and "config"; expected one of them',
    ],
    [
      'Layers, which Go reads as layers',
      { ...MANIFEST, Layers: [] },
      'CORRUPT manifest.Layers: a variant of "layers"; expected "layers"',
    ],
    [
      'layers twice',
      '{"schemaVersion":2,"layers":[],"layers":[]}',
      'CORRUPT manifest: has the key "layers" twice in one object',
    ],
    [
      'Digest in a descriptor',
      { ...MANIFEST, layers: [{ ...LAYER, Digest: A }] },
      'CORRUPT manifest.layers[0].Digest: a variant of "digest"; expected "digest"',
    ],
    ['no layers', { ...MANIFEST, layers: undefined }, 'CORRUPT manifest: has no "layers"'],
    [
      'a size in quotes',
      { ...MANIFEST, layers: [LAYER, LAYER, { ...LAYER, size: '12' }] },
      'CORRUPT manifest.layers[2].size: expected an integer, found a string',
    ],
    [
      'a negative size',
      { ...MANIFEST, config: { ...LAYER, size: -1 } },
      'CORRUPT manifest.config.size: expected an integer from 0 to 2^53 - 1, found a number',
    ],
    [
      'a size beyond 2^53',
      { ...MANIFEST, config: { ...LAYER, size: 2 ** 53 } },
      'CORRUPT manifest.config.size: expected an integer from 0 to 2^53 - 1, found a number',
    ],
    [
      'CVE-2024-3727: a path for a digest',
      { ...MANIFEST, config: { ...LAYER, digest: 'sha256:../../x' } },
      'CORRUPT manifest.config.digest: expected "sha256:" and 64, or "sha512:" and 128, lowercase hex characters',
    ],
    [
      'no media type',
      { ...MANIFEST, config: { digest: A, size: 1 } },
      'CORRUPT manifest.config: has no "mediaType"',
    ],
    [
      'no such media type',
      { ...MANIFEST, config: { ...LAYER, mediaType: 'x' } },
      'CORRUPT manifest.config.mediaType: expected a media type, e.g. "text/plain"',
    ],
    [
      'an annotation that is no string',
      { ...MANIFEST, annotations: { a: 1 } },
      'CORRUPT manifest.annotations.a: expected a string, found a number',
    ],
    [
      'data of another size',
      { ...MANIFEST, config: { ...LAYER, data: 'e30=' } },
      'CORRUPT manifest.config.data: holds 2 bytes, but size is 3',
    ],
    [
      'data of another digest',
      { ...MANIFEST, config: { ...LAYER, size: 2, data: 'e30=' } },
      'CORRUPT manifest.config.data: does not match the digest',
    ],
    [
      'data that is no base64',
      { ...MANIFEST, config: { ...LAYER, data: 'e30' } },
      'CORRUPT manifest.config.data: expected base64',
    ],
    [
      'too many layers',
      { ...MANIFEST, layers: Array(DEFAULT_MANIFEST_LIMITS.children + 1).fill(LAYER) },
      'EXHAUSTED manifest.layers: 1001 items, of 1000 that are read (the limit --max-layers, which an admin can raise)',
    ],
    [
      'too many children',
      { ...INDEX, manifests: Array(DEFAULT_MANIFEST_LIMITS.children + 1).fill(LAYER) },
      'EXHAUSTED manifest.manifests: 1001 items, of 1000 that are read (the limit --max-layers, which an admin can raise)',
    ],
    [
      'too many bytes',
      ' '.repeat(DEFAULT_MANIFEST_LIMITS.bytes + 1),
      'EXHAUSTED manifest is larger than 4194304 bytes (the limit --max-manifest-bytes, which an admin can raise)',
    ],
  ])('%s', (_, document, message) => {
    expect(outcomeOf(document)).toBe(message)
  })

  test('SSRF: no message quotes what a host answered that only a reference names', () => {
    const secret = 'hunter2'
    for (const field of ['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers']) {
      expect(outcomeOf({ ...MANIFEST, [field]: secret })).not.toContain(secret)
    }
    for (const field of ['mediaType', 'digest', 'size', 'annotations', 'data', 'platform']) {
      const outcome = outcomeOf({ ...MANIFEST, layers: [{ ...LAYER, [field]: secret }] })
      expect(outcome).toMatch(/^CORRUPT manifest\.layers\[0\]/)
      expect(outcome).not.toContain(secret)
    }
    expect(outcomeOf(secret)).not.toContain(secret)
    expect(outcomeOf(JSON.stringify(secret))).toBe(
      'CORRUPT manifest: expected an object, found a string',
    )
  })

  test('mutated documents with its own errors only (property)', () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>(LAYER, [LAYER], A, OCI_INDEX, 2, null),
    )
    const key = fc.constantFrom(
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'manifests',
      'blobs',
      'annotations',
      'subject',
    )
    fc.assert(
      fc.property(
        fc.constantFrom<object>(MANIFEST, INDEX),
        fc.dictionary(key, value),
        (base, changes) => {
          const document = { ...base, ...changes }
          try {
            const parsed = parse(document)
            const descriptors = parsed.kind === 'index' ? parsed.manifests : parsed.layers
            expect(descriptors.every(({ size }) => Number.isSafeInteger(size))).toBe(true)
          } catch (error) {
            if (!isCodedError(error, 'CORRUPT', 'INVALID')) throw error
          }
        },
      ),
    )
  })
})
