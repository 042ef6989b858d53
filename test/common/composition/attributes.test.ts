import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ATTRIBUTES } from '../../../common/composition/attribute-name.ts'
import { decodeAttributes, encodeAttributes } from '../../../common/composition/attributes.ts'
import type {
  Modes,
  PullPolicy,
  Source,
  Unpack,
  VolumeSpec,
} from '../../../common/composition/composition.ts'
import { fileGlobProblem } from '../../../common/composition/file-glob.ts'
import { annotationGlobProblem } from '../../../common/composition/selection.ts'
import { isCodedError } from '../../../common/errors.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import { parsePlatform } from '../../../common/oci/platform.ts'
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
      sources: [
        {
          reference: APP,
          pullPolicy: 'Never',
          select: {
            mediaTypes: ['text/plain', 'application/*'],
            annotations: { 'com.acme.kind': ['plugin-*'], 'com.acme.tier': ['a', 'b,c'] },
            files: ['*.jar', '!*-sources.jar'],
          },
          path: 'opt/lib',
          platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
          unpack: 'never',
          modes: 'keep',
        },
      ],
      subPaths: ['lib/app.jar', 'etc'],
      writable: true,
      concurrency: 3,
      plainHttp: true,
      insecure: true,
    }
    expect(encodeAttributes(volume)).toStrictEqual({
      [REFERENCE]: 'ghcr.io/acme/app:v1',
      'oras.artifact.layers.mediatype': 'text/plain,application/*',
      'oras.artifact.layers.annotations':
        '{"com.acme.kind":"plugin-*","com.acme.tier":["a","b,c"]}',
      'oras.artifact.files': '["*.jar","!*-sources.jar"]',
      'oras.artifact.path': 'opt/lib',
      'oras.artifact.platform': 'linux/arm/v7',
      'oras.artifact.unpack': 'never',
      'oras.artifact.modes': 'keep',
      'oras.options.pullpolicy': 'Never',
      'oras.options.subpaths': 'lib/app.jar,etc',
      'oras.options.writable': 'true',
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
    ['none', 0],
    ['too many', 33],
  ])('refuses a volume with %s sources', (_name, count) => {
    const sources = Array.from({ length: count }, () => ({ reference: APP }))
    expect(thrownBy(() => encodeAttributes({ ...PLAIN, sources }))).toBe(
      `INVALID A volume has ${count} sources; expected 1 to 32`,
    )
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
      'what is selected, as a person writes it',
      {
        'oras.artifact.layers.mediatype': 'text/plain, application/*',
        'oras.artifact.layers.annotations':
          'com.acme.kind=plugin-*, com.acme.tier=a,com.acme.tier=b=c',
        'oras.artifact.files': '*.jar, !*-sources.jar',
      },
      {
        sources: [
          {
            reference: APP,
            select: {
              mediaTypes: ['text/plain', 'application/*'],
              annotations: { 'com.acme.kind': ['plugin-*'], 'com.acme.tier': ['a', 'b=c'] },
              files: ['*.jar', '!*-sources.jar'],
            },
          },
        ],
      },
    ],
    [
      'what is selected, as JSON',
      {
        'oras.artifact.layers.mediatype': '["text/plain"]',
        'oras.artifact.layers.annotations': '{"a,b=c": "x,y", "d": ["e", "f"]}',
        'oras.artifact.files': '["a,b"]',
      },
      {
        sources: [
          {
            reference: APP,
            select: {
              mediaTypes: ['text/plain'],
              annotations: { 'a,b=c': ['x,y'], d: ['e', 'f'] },
              files: ['a,b'],
            },
          },
        ],
      },
    ],
    ['the root as no path', { 'oras.artifact.path': '/' }, {}],
    [
      'a platform in any spelling',
      { 'oras.artifact.platform': 'Linux/x86_64' },
      { sources: [{ reference: APP, platform: { os: 'linux', architecture: 'amd64' } }] },
    ],
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
      'a media type that is none',
      { 'oras.artifact.layers.mediatype': 'text/plain,jar' },
      'INVALID Invalid volume attribute "oras.artifact.layers.mediatype": found "jar"; expected a media type, e.g. "text/plain", or with "*", e.g. "text/*"',
    ],
    [
      'an annotation without a glob',
      { 'oras.artifact.layers.annotations': 'com.acme.kind' },
      'INVALID Invalid volume attribute "oras.artifact.layers.annotations": found "com.acme.kind"; expected key=glob, e.g. "com.acme.kind=plugin-*"',
    ],
    [
      'an annotation with an empty glob',
      { 'oras.artifact.layers.annotations': 'com.acme.kind=' },
      'INVALID Invalid volume attribute "oras.artifact.layers.annotations": found an empty value for "com.acme.kind"; expected a glob, e.g. "*"',
    ],
    [
      'an annotation twice in one object',
      { 'oras.artifact.layers.annotations': '{"a":"x","a":"y"}' },
      'INVALID Invalid volume attribute "oras.artifact.layers.annotations": found JSON: has the key "a" twice in one object',
    ],
    [
      'a glob that is a number',
      { 'oras.artifact.layers.annotations': '{"a":{"b":1}}' },
      'INVALID Invalid volume attribute "oras.artifact.layers.annotations": found JSON.a: expected a string, found an object',
    ],
    [
      'no annotation at all',
      { 'oras.artifact.layers.annotations': '{}' },
      'INVALID Invalid volume attribute "oras.artifact.layers.annotations": found an empty list; leave it away to select everything',
    ],
    [
      'no file at all',
      { 'oras.artifact.files': '[]' },
      'INVALID Invalid volume attribute "oras.artifact.files": found an empty list; leave it away to select everything',
    ],
    [
      'a glob that can match no file',
      { 'oras.artifact.files': '*.jar,../x' },
      'INVALID Invalid volume attribute "oras.artifact.files": found "../x", which cannot match: no path in an artifact has ".."; expected a path in it',
    ],
    [
      'a bidi override in a glob, escaped',
      { 'oras.artifact.files': '["\\u202ex"]' },
      'INVALID Invalid volume attribute "oras.artifact.files": found the control or invisible character U+202E; not allowed',
    ],
    [
      'a path that is absolute',
      { 'oras.artifact.path': '/lib' },
      'INVALID Invalid volume attribute "oras.artifact.path": "/lib" is absolute; expected a path inside the volume, e.g. "lib"',
    ],
    [
      'a platform that is none',
      { 'oras.artifact.platform': 'linux/arm64/v8/x' },
      'INVALID Invalid volume attribute "oras.artifact.platform": invalid platform "linux/arm64/v8/x": expected os/arch or os/arch/variant, e.g. "linux/arm64"',
    ],
    [
      'a word for unpacking that is none',
      { 'oras.artifact.unpack': 'Always' },
      'INVALID Invalid volume attribute "oras.artifact.unpack": found "Always"; expected "auto", "always" or "never"; did you mean "always"?',
    ],
    [
      'a word for modes that is none',
      { 'oras.artifact.modes': '0644' },
      'INVALID Invalid volume attribute "oras.artifact.modes": found "0644"; expected "readable" or "keep"',
    ],
    [
      'an unknown attribute that is near one',
      { 'oras.artifact.layers.mediatypes': 'text/plain' },
      'INVALID Unknown volume attribute "oras.artifact.layers.mediatypes"; did you mean "oras.artifact.layers.mediatype"?',
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
    ['true', { ...PLAIN, writable: true }],
    ['T', { ...PLAIN, writable: true }],
    ['false', PLAIN],
  ])('reads writable: %s', (text, volume) => {
    expect(decode({ 'oras.options.writable': text })).toStrictEqual(volume)
  })

  test('reads back what encodeAttributes wrote, whatever it is', () => {
    fc.assert(
      fc.property(volumes, (volume) => {
        expect(decodeAttributes(encodeAttributes(volume))).toStrictEqual(structuredClone(volume))
      }),
    )
  })

  test('gives a volume or INVALID, whatever comes', () => {
    const key = fc.oneof(fc.constantFrom(...Object.values(ATTRIBUTES)), fc.string())
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.constantFrom('{"__proto__":"x"}', '{"":""}', '["!"]', 'a=b,a=', '/', 'linux//'),
    )
    fc.assert(
      fc.property(fc.dictionary(key, value), (attributes) => {
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
const mediaTypes = fc.constantFrom(
  'text/plain',
  'application/vnd.acme.x+json',
  'text/*',
  '*',
  '*+json',
)
// Whatever a glob can be, by the parser's own judgement.
const globTexts = fc.oneof(
  pathParts,
  fc.stringMatching(/^[!/]?[a-z*?[\]\\{},. ]{1,12}\/?$/),
  fc.tuple(pathParts, pathParts).map((parts) => parts.join('/')),
)
const fileGlobs = globTexts.filter((glob) => fileGlobProblem(glob) === undefined)
const annotationGlobs = fc.dictionary(
  // An own property of that name is a different type to toStrictEqual.
  pathParts.filter((key) => key !== 'constructor' && annotationGlobProblem(key, '*') === undefined),
  fc.array(pathParts, { minLength: 1, maxLength: 3 }),
  { minKeys: 1, maxKeys: 3, noNullPrototype: true },
)
const list = <T>(items: fc.Arbitrary<T>) => fc.array(items, { minLength: 1, maxLength: 3 })
const selections = fc
  .record(
    { mediaTypes: list(mediaTypes), annotations: annotationGlobs, files: list(fileGlobs) },
    { requiredKeys: [] },
  )
  .filter((selection) => Object.keys(selection).length > 0)
const platforms = fc
  .tuple(
    fc.constantFrom('linux', 'windows', 'MacOS', 'wasip1'),
    fc.constantFrom('amd64', 'x86_64', 'arm64', 'arm', 'armhf', '386', 'riscv64', 'wasm'),
    fc.constantFrom('', '/v1', '/v2', '/8', '/v8', '/V7', '/v9.2'),
  )
  .map((parts) => parsePlatform(`${parts[0]}/${parts[1]}${parts[2]}`))
const sources: fc.Arbitrary<Source> = fc.record(
  {
    reference: references,
    pullPolicy: policies,
    select: selections,
    path: subPaths,
    platform: platforms,
    unpack: fc.constantFrom<Unpack>('auto', 'always', 'never'),
    modes: fc.constantFrom<Modes>('readable', 'keep'),
  },
  { requiredKeys: ['reference'] },
)
const volumes: fc.Arbitrary<VolumeSpec> = fc.record(
  {
    sources: fc.array(sources, { minLength: 1, maxLength: 3 }),
    subPaths: fc.array(subPaths, { maxLength: 5 }),
    writable: fc.constant(true),
    concurrency: fc.integer({ min: 1, max: 1000 }),
    plainHttp: fc.boolean(),
    insecure: fc.boolean(),
  },
  { requiredKeys: ['sources', 'subPaths', 'plainHttp', 'insecure'] },
)
