import { expect, test } from 'vitest'
import { CodedError } from '../../../../common/errors.ts'
import { DEFAULT_MANIFEST_LIMITS, parseManifest } from '../../../../common/oci/manifest.ts'
import { OCI_MANIFEST } from '../../../../common/oci/media-types.ts'
import { createManifestParser } from '../../../../driver/pull/manifest/manifest-parser.ts'

const LIMITS = DEFAULT_MANIFEST_LIMITS
const DIGEST = `sha256:${'a'.repeat(64)}`

function manifestOf(annotations: Readonly<Record<string, string>>): Buffer {
  const layer = { mediaType: 'a/b', digest: DIGEST, size: 1, annotations }
  const config = { mediaType: 'a/b', digest: DIGEST, size: 1 }
  const value = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] }
  return Buffer.from(JSON.stringify(value))
}

/** Nearly as big as is read, of as many annotations as fit. */
function bigManifest(): Buffer {
  const annotations: Record<string, string> = {}
  for (let i = 0; i < 150_000; i++) annotations[`key.${i}`] = 'x'.repeat(10)
  return manifestOf(annotations)
}

test.each([
  ['here', Number.POSITIVE_INFINITY],
  ['in a thread', 0],
])(
  'a manifest parsed %s is the same, its annotations without a prototype',
  async (_, inlineBytes) => {
    const bytes = manifestOf({ constructor: 'mine', 'org.example': 'ä' })
    const parsed = await createManifestParser(LIMITS, inlineBytes)(bytes)
    expect(parsed).toStrictEqual(parseManifest(bytes, LIMITS))
    const annotations = parsed.kind === 'manifest' ? parsed.layers[0]?.annotations : undefined
    expect(annotations?.['toString']).toBe(undefined)
    expect(parsed.annotations['constructor']).toBe(undefined)
  },
)

test('a fault found in a thread is the same', async () => {
  const parse = createManifestParser(LIMITS, 0)
  const bytes = Buffer.from('{"layers":[],"manifests":[]}')
  const error = await parse(bytes).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(CodedError)
  expect(error).toMatchObject({
    code: 'CORRUPT',
    message: 'manifest: has both "manifests" and "layers"; expected one of them',
  })
})

test('a manifest of nearly 4 MiB does not hold the event loop', async () => {
  const bytes = bigManifest()
  expect(bytes.length).toBeGreaterThan(3_500_000)
  let turns = 0
  let done = false
  const parsing = createManifestParser(LIMITS)(bytes).finally(() => {
    done = true
  })
  while (!done) {
    turns++
    await new Promise((resolve) => setImmediate(resolve))
  }
  const parsed = await parsing
  expect(parsed.kind).toBe('manifest')
  // Blocked, it would turn a few times only.
  expect(turns).toBeGreaterThan(50)
})
