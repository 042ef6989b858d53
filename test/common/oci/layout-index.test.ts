import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isCodedError } from '../../../common/errors.ts'
import { parseLayoutIndex } from '../../../common/oci/layout-index.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../../common/oci/media-types.ts'

const REF_NAME = 'org.opencontainers.image.ref.name'
const MAX_BYTES = 4 * 1024 * 1024

interface Entry {
  readonly digit: string
  readonly tag?: string | undefined
  readonly platform?: string | undefined
}

function entryOf({ digit, tag, platform }: Entry) {
  return {
    mediaType: OCI_MANIFEST,
    digest: `sha256:${digit.repeat(64)}`,
    size: 7,
    ...(platform !== undefined && { platform: { os: 'linux', architecture: platform } }),
    ...(tag !== undefined && { annotations: { [REF_NAME]: tag } }),
  }
}

function parse(document: unknown) {
  return parseLayoutIndex(Buffer.from(JSON.stringify(document)), MAX_BYTES)
}

function indexOf(...entries: readonly Entry[]) {
  return parse({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries.map(entryOf) })
}

function failureOf(read: () => unknown): string {
  try {
    read()
    return 'nothing thrown'
  } catch (error) {
    return isCodedError(error) ? `${error.code} ${error.message}` : String(error)
  }
}

describe('a tag of an index.json', () => {
  test('is an entry with that name', () => {
    const index = indexOf({ digit: '1', tag: 'v1' }, { digit: '2', tag: 'v2' }, { digit: '3' })
    expect(index.find('v2')).toStrictEqual({
      mediaType: OCI_MANIFEST,
      digest: `sha256:${'2'.repeat(64)}`,
      size: 7,
    })
    expect(index.find('v3')).toBeUndefined()
  })

  test('that several entries have is the last one, as oras reads it', () => {
    const index = indexOf({ digit: '1', tag: 'v1' }, { digit: '2', tag: 'v1' })
    expect(index.find('v1')?.digest).toBe(`sha256:${'2'.repeat(64)}`)
  })

  test('that entries for different platforms have names none of them', () => {
    const index = indexOf(
      { digit: '1', tag: 'v1', platform: 'amd64' },
      { digit: '2', tag: 'v1', platform: 'arm64' },
      { digit: '3', tag: 'v2', platform: 'arm64' },
      { digit: '4', tag: 'v2', platform: 'arm64' },
    )
    expect(failureOf(() => index.find('v1'))).toBe(
      'CORRUPT index.json: has several manifests "v1", for different platforms; expected an image index that lists them',
    )
    expect(index.find('v2')?.digest).toBe(`sha256:${'4'.repeat(64)}`)
  })

  test('is the one that a map filled in order would hold, whatever the index', () => {
    const entry = fc.record({
      digit: fc.constantFrom(...'0123456789abcdef'),
      tag: fc.option(fc.constantFrom('v1', 'v2', 'latest', '__proto__', 'constructor'), {
        nil: undefined,
      }),
    })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
        const index = indexOf(...entries)
        const model = new Map<string | undefined, string>(
          entries.map(({ tag, digit }) => [tag, digit]),
        )
        for (const tag of ['v1', 'v2', 'latest', '__proto__', 'constructor', 'toString', '']) {
          const digit = model.get(tag)
          expect(index.find(tag)?.digest).toBe(digit && `sha256:${digit.repeat(64)}`)
        }
      }),
    )
  })

  test('of any JSON at all is found, absent, or refused with a code', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const message = failureOf(() => parseLayoutIndex(Buffer.from(text), MAX_BYTES).find('v1'))
        expect(message).toMatch(/^(?:nothing thrown|CORRUPT index\.json)/)
      }),
    )
  })
})

describe('a hostile index.json', () => {
  const hostile = (fields: object) => ({
    manifests: [{ ...entryOf({ digit: '1', tag: 'v1' }), ...fields }],
  })
  const expectedDigest = 'expected "sha256:" and 64, or "sha512:" and 128, lowercase hex characters'

  test.each([
    [
      'a digest with the characters of a path',
      hostile({ digest: 'sha256:../../../etc/shadow' }),
      `CORRUPT index.json.manifests[0].digest: ${expectedDigest}`,
    ],
    ['no digest', hostile({ digest: null }), 'CORRUPT index.json.manifests[0]: has no "digest"'],
    [
      'a negative size',
      hostile({ size: -1 }),
      'CORRUPT index.json.manifests[0].size: expected an integer from 0 to 2^53 - 1, found a number',
    ],
    [
      'a field that is another to readers in Go',
      hostile({ Digest: `sha256:${'2'.repeat(64)}` }),
      'CORRUPT index.json.manifests[0].Digest: a variant of "digest"; expected "digest"',
    ],
    ['no list', {}, 'CORRUPT index.json: has no "manifests"'],
    [
      'a list of no objects',
      { manifests: [1] },
      'CORRUPT index.json.manifests[0]: expected an object, found a number',
    ],
    [
      'a name that is no text',
      hostile({ annotations: { [REF_NAME]: { a: 1 } } }),
      `CORRUPT index.json.manifests[0].annotations["${REF_NAME}"]: expected a string, found an object`,
    ],
  ])('with %s is refused', (_, document, message) => {
    expect(failureOf(() => parse(document).find('v1'))).toBe(message)
  })

  test('with one strange entry still has the others', () => {
    const strange = { digest: 'blake3:00', mediaType: 7 }
    const index = parse({ manifests: [strange, entryOf({ digit: '1', tag: 'v1' }), strange] })
    expect(index.find('v1')?.digest).toBe(`sha256:${'1'.repeat(64)}`)
  })

  test('of 5 MiB is refused by its size, before it is parsed', () => {
    const bytes = Buffer.alloc(5 * 1024 * 1024, ' ')
    expect(failureOf(() => parseLayoutIndex(bytes, MAX_BYTES))).toBe(
      'CORRUPT index.json: 5242880 bytes; at most 4194304 are read',
    )
  })

  test('nested deeply is refused before it is parsed', () => {
    const bytes = Buffer.from(`{"manifests":${'['.repeat(100_000)}`)
    expect(failureOf(() => parseLayoutIndex(bytes, MAX_BYTES))).toBe(
      'CORRUPT index.json: nested deeper than 32',
    )
  })

  test('with a key twice is refused: two readers would see two meanings', () => {
    const bytes = Buffer.from('{"manifests":[],"manifests":[1]}')
    expect(failureOf(() => parseLayoutIndex(bytes, MAX_BYTES))).toBe(
      'CORRUPT index.json: has the key "manifests" twice in one object',
    )
  })
})

test.each([
  ['nothing yet', '', 'UNAVAILABLE index.json: not valid JSON'],
  ['its first half', '{"manifests":[{"media', 'UNAVAILABLE index.json: not valid JSON'],
  ['zeros, as after a crash', '\0\0\0\0', 'UNAVAILABLE index.json: not valid JSON'],
  ['half of a character', Buffer.from([0x22, 0xc3]), 'UNAVAILABLE index.json: not valid UTF-8'],
])('an index.json of which there is %s may be whole a little later', (_, text, message) => {
  expect(failureOf(() => parseLayoutIndex(Buffer.from(text), MAX_BYTES))).toContain(message)
})
