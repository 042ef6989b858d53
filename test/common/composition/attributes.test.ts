import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeAttributes, encodeAttributes } from '../../../common/composition/attributes.ts'
import type { PullPolicy, VolumeSpec } from '../../../common/composition/composition.ts'
import { isCodedError } from '../../../common/errors.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import { thrownBy } from '../../support/thrown.ts'

const REFERENCE = 'oras.artifact.reference'
const APP = { registry: 'ghcr.io', repository: 'acme/app', tag: 'v1' }
const PLAIN: VolumeSpec = {
  sources: [{ reference: APP }],
  subPaths: [],
  plainHttp: false,
  insecure: false,
}

const decode = (others: Record<string, string>) =>
  decodeAttributes({ [REFERENCE]: 'ghcr.io/acme/app:v1', ...others })

describe('encodeAttributes', () => {
  test('leaves away what is at its default', () => {
    expect(encodeAttributes(PLAIN)).toStrictEqual({ [REFERENCE]: 'ghcr.io/acme/app:v1' })
  })

  test('writes everything else', () => {
    const volume: VolumeSpec = {
      sources: [{ reference: APP, pullPolicy: 'Never' }],
      subPaths: ['lib/app.jar', 'etc'],
      concurrency: 3,
      plainHttp: true,
      insecure: true,
    }
    expect(encodeAttributes(volume)).toStrictEqual({
      [REFERENCE]: 'ghcr.io/acme/app:v1',
      'oras.options.pullpolicy': 'Never',
      'oras.options.subpaths': 'lib/app.jar,etc',
      'oras.options.concurrency': '3',
      'oras.options.plainhttp': 'true',
      'oras.options.insecure': 'true',
    })
  })

  test('writes subPaths that a comma list cannot hold as JSON', () => {
    const { 'oras.options.subpaths': list } = encodeAttributes({
      ...PLAIN,
      subPaths: ['a,b', ' c', '[d'],
    })
    expect(list).toBe('["a,b"," c","[d"]')
  })

  test.each([
    ['none', [], 'INVALID A volume has 0 sources; this version supports exactly one'],
    [
      'two',
      [{ reference: APP }, { reference: APP }],
      'INVALID A volume has 2 sources; this version supports exactly one',
    ],
  ])('refuses a volume with other than one source: %s', (_name, sources, message) => {
    expect(thrownBy(() => encodeAttributes({ ...PLAIN, sources }))).toBe(message)
  })

  test('refuses more than 16 KiB', () => {
    const subPaths = Array.from({ length: 80 }, (_, index) => `${'a'.repeat(210)}${index}`)
    expect(thrownBy(() => encodeAttributes({ ...PLAIN, subPaths }))).toBe(
      'INVALID The volume attributes have 17092 bytes; expected at most 16384',
    )
  })
})

describe('decodeAttributes', () => {
  test.each([
    ['oras://ghcr.io/acme/app:v1', APP],
    ['ghcr.io/acme/app', { registry: 'ghcr.io', repository: 'acme/app', tag: 'latest' }],
  ])('reads the reference %s', (text, reference) => {
    expect(decodeAttributes({ [REFERENCE]: text })).toStrictEqual({
      ...PLAIN,
      sources: [{ reference }],
    })
  })

  test.each<[string, Record<string, string>, Partial<VolumeSpec>]>([
    [
      'a pull policy',
      { 'oras.options.pullpolicy': 'Never' },
      { sources: [{ reference: APP, pullPolicy: 'Never' }] },
    ],
    [
      'pullalways, the old name',
      { 'oras.options.pullalways': 'T' },
      { sources: [{ reference: APP, pullPolicy: 'Always' }] },
    ],
    ['pullalways that is off', { 'oras.options.pullalways': '0' }, {}],
    [
      'pullalways that is off beside a policy',
      { 'oras.options.pullalways': 'false', 'oras.options.pullpolicy': 'Never' },
      { sources: [{ reference: APP, pullPolicy: 'Never' }] },
    ],
    ['a comma list with blanks', { 'oras.options.subpaths': 'a/b, c' }, { subPaths: ['a/b', 'c'] }],
    ['a JSON list', { 'oras.options.subpaths': '["a,b"]' }, { subPaths: ['a,b'] }],
    ['concurrency', { 'oras.options.concurrency': '8' }, { concurrency: 8 }],
    [
      'booleans as Go writes them',
      { 'oras.options.plainhttp': '1', 'oras.options.insecure': 'True' },
      { plainHttp: true, insecure: true },
    ],
    [
      'past what the kubelet adds',
      { 'csi.storage.k8s.io/pod.name': 'web', 'csi.storage.k8s.io/ephemeral': 'true' },
      {},
    ],
  ])('reads %s', (_name, attributes, expected) => {
    expect(decode(attributes)).toStrictEqual({ ...PLAIN, ...expected })
  })

  test.each<[string, Record<string, string>, string]>([
    [
      'another spelling of a boolean',
      { 'oras.options.plainhttp': 'yes' },
      'INVALID Invalid volume attribute "oras.options.plainhttp": found "yes"; expected "true" or "false"',
    ],
    [
      'a pull policy that is none',
      { 'oras.options.pullpolicy': 'always' },
      'INVALID Invalid volume attribute "oras.options.pullpolicy": found "always"; expected "Always", "IfNotPresent" or "Never"; did you mean "Always"?',
    ],
    [
      'two policies at odds',
      { 'oras.options.pullpolicy': 'Never', 'oras.options.pullalways': 'true' },
      'INVALID Invalid volume attribute "oras.options.pullalways": found "true" although "oras.options.pullpolicy" is "Never"; leave one of them away',
    ],
    [
      'no downloads at all',
      { 'oras.options.concurrency': '0' },
      'INVALID Invalid volume attribute "oras.options.concurrency": found "0"; expected a whole number from 1 to 1000',
    ],
    [
      'a subPath that leads out',
      { 'oras.options.subpaths': 'a,../b' },
      'INVALID Invalid volume attribute "oras.options.subpaths": "../b" has ".."; expected a path inside the volume',
    ],
    [
      'a NUL in a subPath, escaped',
      { 'oras.options.subpaths': '["a\\u0000b"]' },
      'INVALID Invalid volume attribute "oras.options.subpaths": found the control or invisible character U+0000; not allowed',
    ],
    [
      'an empty item',
      { 'oras.options.subpaths': 'a,,b' },
      'INVALID Invalid volume attribute "oras.options.subpaths": found an empty item in "a,,b"; expected e.g. "a,b"',
    ],
    [
      'JSON that is none',
      { 'oras.options.subpaths': '[a' },
      'INVALID Invalid volume attribute "oras.options.subpaths": found "[a", which is not valid JSON',
    ],
    [
      'JSON of another shape',
      { 'oras.options.subpaths': '[1]' },
      'INVALID Invalid volume attribute "oras.options.subpaths": found "[1]"; expected a JSON array of strings',
    ],
    [
      'a bidi override in the reference',
      { [REFERENCE]: 'ghcr.io/\u202eacme' },
      `INVALID Invalid volume attribute "${REFERENCE}": found the control or invisible character U+202E; not allowed`,
    ],
    [
      'a reference that is none',
      { [REFERENCE]: 'redis' },
      `INVALID Invalid volume attribute "${REFERENCE}": invalid reference "redis": no registry; expected registry/repository:tag, e.g. "docker.io/library/redis"`,
    ],
    [
      'an unknown attribute, with the nearest one',
      { 'oras.options.pullPolicy': 'Always' },
      'INVALID Unknown volume attribute "oras.options.pullPolicy"; did you mean "oras.options.pullpolicy"?',
    ],
    ['an attribute of nobody', { fsType: 'ext4' }, 'INVALID Unknown volume attribute "fsType"'],
    [
      'an attribute that every object of JavaScript has',
      { constructor: 'x' },
      'INVALID Unknown volume attribute "constructor"',
    ],
    [
      'more than 16 KiB',
      { 'oras.options.subpaths': 'a'.repeat(17_000) },
      'INVALID The volume attributes have 17063 bytes; expected at most 16384',
    ],
  ])('refuses %s', (_name, attributes, message) => {
    expect(thrownBy(() => decode(attributes))).toBe(message)
  })

  test('refuses a volume without a reference', () => {
    expect(thrownBy(() => decodeAttributes({}))).toBe(
      `INVALID Missing volume attribute "${REFERENCE}"; expected e.g. "ghcr.io/acme/app:v1"`,
    )
  })

  test.each([
    'oras.artifact.layers.mediatype',
    'oras.artifact.layers.annotations',
    'oras.artifact.files',
    'oras.artifact.path',
    'oras.artifact.platform',
    'oras.artifact.unpack',
    'oras.artifact.modes',
    'oras.options.writable',
    'oras.sources',
  ])('refuses %s of a later version', (key) => {
    expect(thrownBy(() => decode({ [key]: 'x' }))).toBe(
      `INVALID Volume attribute "${key}" is not supported by this version yet`,
    )
  })

  test('reads back what encodeAttributes wrote, whatever it is', () => {
    fc.assert(
      fc.property(volumes, (volume) => {
        expect(decodeAttributes(encodeAttributes(volume))).toStrictEqual(structuredClone(volume))
      }),
    )
  })

  test('gives a volume or INVALID, whatever comes', () => {
    const key = fc.oneof(
      fc.constantFrom(REFERENCE, 'oras.options.subpaths', 'oras.options.concurrency'),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.dictionary(key, fc.string({ unit: 'binary' })), (attributes) => {
        try {
          decode(attributes)
        } catch (error) {
          expect(isCodedError(error, 'INVALID'), String(error)).toBe(true)
        }
      }),
    )
  })
})

const digests = fc.stringMatching(/^[a-f0-9]{64}$/).map((hex): Digest => `sha256:${hex}`)
const names = fc.stringMatching(/^[a-z0-9]{1,10}(\/[a-z0-9]{1,10})?$/)
const tags = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/)
const references = fc.oneof(
  fc.record({ registry: fc.constant('ghcr.io'), repository: names, tag: tags }),
  fc.record({ registry: fc.constant('[::1]:5000'), repository: names, digest: digests }),
  fc.record({ registry: fc.constant('acme'), repository: names, tag: tags, digest: digests }),
)
const policies = fc.constantFrom<PullPolicy>('Always', 'IfNotPresent', 'Never')
// Any text that is a clean path: commas, quotes, brackets, blanks at either end, letters of any script.
const pathParts = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
    fc.constantFrom('a,b', ' a', 'a ', '["x"]', '{', '"', "'", 'ä', '日本', '-', '...'),
  )
  .filter((part) => !/[/\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(part) && !/^\.{0,2}$/.test(part))
const subPaths = fc.array(pathParts, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const volumes: fc.Arbitrary<VolumeSpec> = fc.record(
  {
    sources: fc
      .oneof(
        fc.record({ reference: references }),
        fc.record({ reference: references, pullPolicy: policies }),
      )
      .map((source) => [source]),
    subPaths: fc.array(subPaths, { maxLength: 5 }),
    concurrency: fc.integer({ min: 1, max: 1000 }),
    plainHttp: fc.boolean(),
    insecure: fc.boolean(),
  },
  { requiredKeys: ['sources', 'subPaths', 'plainHttp', 'insecure'] },
)
