import { describe, expect, test } from 'vitest'
import type { ArtifactSource, CallOptions } from '../../../common/oci/artifact-source.ts'
import { ANONYMOUS } from '../../../common/oci/credentials.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { type Digest, digestOf } from '../../../common/oci/digest.ts'
import { OCI_ARTIFACT_MANIFEST, OCI_MANIFEST } from '../../../common/oci/media-types.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import { artifact, type Built, index, manifestOf } from '../../support/artifact.ts'

/** A source with something to pull, and the means to spoil it. */
export interface SourceUnderTest extends AsyncDisposable {
  readonly source: ArtifactSource
  /** The registry's name in references. */
  readonly registry: string
  /** What the source calls itself in messages. */
  readonly sender: string
  /** Puts an artifact at `repository:tag`. */
  put(repository: string, tag: string, built: Built): Promise<void>
  /** Replaces the bytes of a blob or manifest, whose name stays. */
  spoil(repository: string, digest: Digest, bytes: Uint8Array): Promise<void>
}

const REPOSITORY = 'acme/app'
const ABSENT: Digest = `sha256:${'0'.repeat(64)}`

/** Collects a stream; what came before an error counts too. */
export async function collect(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ bytes: Buffer; error: unknown }> {
  const parts: Uint8Array[] = []
  try {
    for await (const chunk of chunks) parts.push(Buffer.from(chunk))
    return { bytes: Buffer.concat(parts), error: undefined }
  } catch (error) {
    return { bytes: Buffer.concat(parts), error }
  }
}

/** A call that nobody aborts, without credentials. */
export function anonymously(): CallOptions {
  return { signal: new AbortController().signal, keyring: ANONYMOUS }
}

/** Says what every source of artifacts does. */
export function describeArtifactSource(name: string, start: () => Promise<SourceUnderTest>): void {
  describe(`${name} as a source of artifacts`, () => {
    // Several chunks, and not a multiple of any.
    const big = Buffer.alloc(3_000_017, 'oras-csi ')
    const built = artifact({
      layers: [
        { title: 'big', content: big },
        { title: 'empty', content: '' },
      ],
    })
    const layer = describeBlob(big)

    async function withArtifact() {
      const under = await start()
      await under.put(REPOSITORY, 'v1', built)
      const reference: Reference = { registry: under.registry, repository: REPOSITORY, tag: 'v1' }
      return { ...under, reference, [Symbol.asyncDispose]: () => under[Symbol.asyncDispose]() }
    }

    const descriptor: Descriptor = {
      mediaType: OCI_MANIFEST,
      digest: built.digest,
      size: built.manifest.length,
      annotations: {},
    }

    test('finds what a tag names', async () => {
      await using under = await withArtifact()
      expect(await under.source.resolve(under.reference, anonymously())).toStrictEqual(descriptor)
    })

    test('finds what a digest names, whatever the tag says', async () => {
      await using under = await withArtifact()
      const reference = { ...under.reference, tag: 'other', digest: built.digest }
      expect(await under.source.resolve(reference, anonymously())).toStrictEqual(descriptor)
    })

    test('fetches a manifest by tag and by digest, with anonymous access', async () => {
      await using under = await withArtifact()
      for (const name of [{ tag: 'v1' }, { digest: built.digest }]) {
        const reference = { registry: under.registry, repository: REPOSITORY, ...name }
        const fetched = await under.source.manifest(reference, anonymously())
        expect({ ...fetched, bytes: Buffer.from(fetched.bytes) }).toStrictEqual({
          descriptor,
          bytes: built.manifest,
          credential: undefined,
          authoritative: true,
        })
      }
    })

    test('fetches the children of an index, and manifests of other kinds, by digest', async () => {
      await using under = await start()
      const legacy = manifestOf(
        { mediaType: OCI_ARTIFACT_MANIFEST, blobs: [] },
        OCI_ARTIFACT_MANIFEST,
      )
      await under.put(REPOSITORY, 'all', index([built]))
      await under.put(REPOSITORY, 'legacy', legacy)
      for (const { digest, mediaType, manifest } of [built, legacy]) {
        const reference = { registry: under.registry, repository: REPOSITORY, digest }
        expect((await under.source.manifest(reference, anonymously())).descriptor).toStrictEqual({
          mediaType,
          digest,
          size: manifest.length,
          annotations: {},
        })
      }
    })

    test('a tag that moved names the new manifest', async () => {
      await using under = await withArtifact()
      const next = artifact({ layers: [{ title: 'next', content: 'next' }] })
      await under.put(REPOSITORY, 'v1', next)
      expect((await under.source.resolve(under.reference, anonymously())).digest).toBe(next.digest)
    })

    test('streams a blob in chunks', async () => {
      await using under = await withArtifact()
      let chunks = 0
      let bytes = 0
      for await (const chunk of under.source.blob(under.reference, layer, anonymously())) {
        chunks++
        bytes += chunk.byteLength
      }
      expect({ several: chunks > 1, bytes }).toStrictEqual({ several: true, bytes: big.length })
      const { bytes: again, error } = await collect(
        under.source.blob(under.reference, layer, anonymously()),
      )
      expect([again.equals(big), error]).toStrictEqual([true, undefined])
    })

    test('streams an empty blob', async () => {
      await using under = await withArtifact()
      expect(
        await collect(under.source.blob(under.reference, describeBlob(''), anonymously())),
      ).toStrictEqual({ bytes: Buffer.alloc(0), error: undefined })
    })

    test.each([1, 2_000_003, big.length - 1, big.length])(
      'goes on from byte %i',
      async (offset) => {
        await using under = await withArtifact()
        const options = { ...anonymously(), offset }
        const { bytes, error } = await collect(under.source.blob(under.reference, layer, options))
        expect([bytes.equals(big.subarray(offset)), error]).toStrictEqual([true, undefined])
      },
    )

    test.each([-1, 0.5, Number.NaN, big.length + 1])(
      'refuses to start at byte %d',
      async (offset) => {
        await using under = await withArtifact()
        const options = { ...anonymously(), offset }
        expect(await collect(under.source.blob(under.reference, layer, options))).toMatchObject({
          bytes: Buffer.alloc(0),
          error: {
            code: 'INVALID',
            message: `Cannot pull "${under.registry}/acme/app:v1": offset ${offset} is not within the 3000017 bytes of the blob`,
          },
        })
      },
    )

    test('says what is missing', async () => {
      await using under = await withArtifact()
      const { source, registry, sender } = under
      const call = anonymously()
      const tagged = { registry, repository: REPOSITORY, tag: 'v2' }
      const digested = { registry, repository: REPOSITORY, digest: ABSENT }
      const absent = { ...layer, digest: ABSENT }
      const outcomes = await Promise.all([
        failureOf(source.resolve(tagged, call)),
        failureOf(source.manifest(tagged, call)),
        failureOf(source.manifest(digested, call)),
        collect(source.blob(tagged, absent, call)).then(({ error }) => failure(error)),
      ])
      expect(outcomes).toStrictEqual([
        `NOT_FOUND Cannot pull "${registry}/acme/app:v2": ${sender} has no manifest "v2"`,
        `NOT_FOUND Cannot pull "${registry}/acme/app:v2": ${sender} has no manifest "v2"`,
        `NOT_FOUND Cannot pull "${registry}/acme/app@${ABSENT}": ${sender} has no manifest "${ABSENT}"`,
        `NOT_FOUND Cannot pull "${registry}/acme/app:v2": ${sender} has no blob ${ABSENT}`,
      ])
    })

    test('says that a repository is missing', async () => {
      await using under = await withArtifact()
      const reference = { registry: under.registry, repository: 'acme/none', tag: 'v1' }
      expect(await failureOf(under.source.manifest(reference, anonymously()))).toMatch(
        /^NOT_FOUND /,
      )
    })

    test('refuses a reference without tag and digest', async () => {
      await using under = await withArtifact()
      const reference = { registry: under.registry, repository: REPOSITORY }
      const outcomes = [
        await failureOf(under.source.resolve(reference, anonymously())),
        await failureOf(under.source.manifest(reference, anonymously())),
      ]
      const message = `INVALID Cannot pull "${under.registry}/acme/app": expected a tag or a digest`
      expect(outcomes).toStrictEqual([message, message])
    })

    test('a manifest that does not hash to its digest is CORRUPT', async () => {
      await using under = await withArtifact()
      const other = Buffer.from('{}')
      await under.spoil(REPOSITORY, built.digest, other)
      const reference = { registry: under.registry, repository: REPOSITORY, digest: built.digest }
      expect(await failureOf(under.source.manifest(reference, anonymously()))).toBe(
        `CORRUPT Cannot pull "${under.registry}/acme/app@${built.digest}": the manifest ${built.digest} hashes to ${digestOf(other)}`,
      )
    })

    test('a blob of other bytes is CORRUPT, and its end is never handed out', async () => {
      await using under = await withArtifact()
      const other = Buffer.from(big)
      other[7] = 0
      await under.spoil(REPOSITORY, layer.digest, other)
      const { bytes, error } = await collect(
        under.source.blob(under.reference, layer, anonymously()),
      )
      expect(failure(error)).toBe(
        `CORRUPT Cannot pull "${under.registry}/acme/app:v1": the bytes of blob ${layer.digest} hash to ${digestOf(other)}`,
      )
      expect(bytes.length).toBeLessThan(big.length)
    })

    test.each([
      ['fewer', big.subarray(0, -1)],
      ['more', Buffer.concat([big, Buffer.alloc(5_000_000)])],
    ])(
      'a blob of %s bytes is CORRUPT, and never more than its size is handed out',
      async (_, bytes) => {
        await using under = await withArtifact()
        await under.spoil(REPOSITORY, layer.digest, bytes)
        for (const offset of [0, 5]) {
          const options = { ...anonymously(), offset }
          const got = await collect(under.source.blob(under.reference, layer, options))
          // Where a server answers a range with its own idea of the size, the range is the wrong one.
          expect(failure(got.error)).toMatch(offset === 0 ? /^CORRUPT / : /^(CORRUPT|INVALID) /)
          expect(got.bytes.length).toBeLessThan(big.length)
        }
      },
    )

    test('a signal that fired before ends every call with its reason', async () => {
      await using under = await withArtifact()
      const reason = new Error('pod deleted')
      const call = { ...anonymously(), signal: AbortSignal.abort(reason) }
      await expect(under.source.resolve(under.reference, call)).rejects.toBe(reason)
      await expect(under.source.manifest(under.reference, call)).rejects.toBe(reason)
      const { error } = await collect(under.source.blob(under.reference, layer, call))
      expect(error).toBe(reason)
    })

    test('a signal that fires in the middle of a blob ends it with its reason', async () => {
      await using under = await withArtifact()
      const reason = new Error('pod deleted')
      const controller = new AbortController()
      const read = async () => {
        const call = { ...anonymously(), signal: controller.signal }
        for await (const _ of under.source.blob(under.reference, layer, call)) {
          controller.abort(reason)
        }
      }
      await expect(read()).rejects.toBe(reason)
    })

    test('a reader may leave a blob at any time', async () => {
      await using under = await withArtifact()
      for await (const _ of under.source.blob(under.reference, layer, anonymously())) break
      expect((await under.source.resolve(under.reference, anonymously())).digest).toBe(built.digest)
    })
  })
}

function describeBlob(content: Uint8Array | string): Descriptor {
  const size = Buffer.byteLength(content)
  return { mediaType: 'application/octet-stream', digest: digestOf(content), size, annotations: {} }
}

/** `CODE message` without what only one kind of source adds: the status and code of a registry. */
export function failure(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return String(error)
  return `${String(error.code)} ${error.message.replace(/ \([A-Z_]+\)$/, '')}`
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'nothing thrown', failure)
}
