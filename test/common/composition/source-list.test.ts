import { describe, expect, test } from 'vitest'
import { decodeAttributes, encodeAttributes } from '../../../common/composition/attributes.ts'
import type { VolumeSpec } from '../../../common/composition/composition.ts'
import { thrownBy } from '../../support/thrown.ts'

const APP = { registry: 'ghcr.io', repository: 'acme/app', tag: 'v1' }
const LIB = { registry: 'ghcr.io', repository: 'acme/lib', tag: '2' }
const REST = { subPaths: [], plainHttp: false, insecure: false }

const decode = (sources: string, others: Readonly<Record<string, string>> = {}) =>
  decodeAttributes({ 'oras.sources': sources, ...others })

describe('several sources', () => {
  test('are one attribute, with the fields of an entry', () => {
    const volume: VolumeSpec = {
      ...REST,
      sources: [
        { reference: APP },
        {
          reference: LIB,
          pullPolicy: 'Never',
          select: { files: ['*.jar'], annotations: { kind: ['a', 'b'] }, mediaTypes: ['text/*'] },
          path: 'lib',
          platform: { os: 'linux', architecture: 'arm64' },
          unpack: 'always',
          modes: 'keep',
        },
      ],
      subPaths: ['lib/app.jar'],
    }
    expect(encodeAttributes(volume)).toEqual({
      'oras.sources':
        '[{"reference":"ghcr.io/acme/app:v1"},{"reference":"ghcr.io/acme/lib:2","pullPolicy":"Never","select":{"files":["*.jar"],"annotations":{"kind":["a","b"]},"mediaTypes":["text/*"]},"path":"lib","platform":"linux/arm64","unpack":"always","modes":"keep"}]',
      'oras.options.subpaths': 'lib/app.jar',
    })
    expect(decodeAttributes(encodeAttributes(volume))).toEqual(volume)
  })

  test('keep their order, and may be one by hand', () => {
    expect(
      decode('[{"reference":"ghcr.io/acme/lib:2"},{"reference":"ghcr.io/acme/app:v1"}]'),
    ).toEqual({
      ...REST,
      sources: [{ reference: LIB }, { reference: APP }],
    })
    expect(decode('[{"reference":"ghcr.io/acme/app:v1"}]').sources).toEqual([{ reference: APP }])
  })
})

test.each([
  ['text', 'ghcr.io/acme/app:v1', /^INVALID Invalid oras\.sources: expected a JSON array: /],
  [
    'YAML',
    '- reference: ghcr.io/acme/app:v1',
    /^INVALID Invalid oras\.sources: expected a JSON array: /,
  ],
  [
    'an object',
    '{"reference":"ghcr.io/acme/app:v1"}',
    'INVALID Invalid oras.sources: found a mapping; expected a JSON array of sources',
  ],
  [
    'an empty array',
    '[]',
    'INVALID Invalid oras.sources (line 1, column 1): found 0 sources; expected 1 to 32 in a volume',
  ],
  [
    '33 sources',
    JSON.stringify(Array.from({ length: 33 }, () => ({ reference: 'ghcr.io/acme/app:v1' }))),
    'INVALID Invalid oras.sources (line 1, column 1): found 33 sources; expected 1 to 32 in a volume',
  ],
  [
    'a reference alone',
    '["ghcr.io/acme/app:v1"]',
    'INVALID Invalid oras.sources[0] (line 1, column 2): found "ghcr.io/acme/app:v1"; expected an object, e.g. {"reference": "ghcr.io/acme/app:v1"}',
  ],
  [
    'no reference',
    '[{"path":"lib"}]',
    'INVALID Invalid oras.sources[0] (line 1, column 2): missing "reference"; expected e.g. "ghcr.io/acme/app:v1"',
  ],
  [
    'a mistyped field',
    '[{"referense":"ghcr.io/acme/app:v1"}]',
    'INVALID Invalid oras.sources[0].referense (line 1, column 3): unknown field "referense"; did you mean "reference"?',
  ],
  [
    "a field that is the entry's, not the source's",
    '[{"reference":"ghcr.io/acme/app:v1","mountPath":"/app"}]',
    /^INVALID Invalid oras\.sources\[0\]\.mountPath .*: unknown field "mountPath"; expected "reference", /,
  ],
  [
    'the attack: a field said twice, which readers take differently',
    '[{"reference":"ghcr.io/acme/app:v1","reference":"evil.example/app:v1"}]',
    /^INVALID Invalid oras\.sources\[0\]\.reference .*: found twice, first on line 1$/,
  ],
  [
    'the attack: a path that leaves the volume',
    '[{"reference":"ghcr.io/acme/app:v1","path":"../../etc"}]',
    'INVALID Invalid oras.sources[0].path (line 1, column 44): "../../etc" has ".."; expected a path inside the volume',
  ],
])('refuses %s', (_, text, message) => {
  const found = thrownBy(() => decode(text))
  if (typeof message === 'string') expect(found).toBe(message)
  else expect(found).toMatch(message)
})

test.each([
  ['oras.artifact.reference', 'ghcr.io/acme/app:v1'],
  ['oras.artifact.path', 'lib'],
  ['oras.artifact.files', '*.jar'],
  ['oras.options.pullpolicy', 'Never'],
  ['oras.options.pullalways', 'true'],
])('refuses %s beside it: which source would it mean?', (key, value) => {
  expect(thrownBy(() => decode('[{"reference":"ghcr.io/acme/app:v1"}]', { [key]: value }))).toBe(
    `INVALID Volume attribute "${key}" stands beside "oras.sources"; expected it in the sources it is meant for`,
  )
})
