import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../common/errors.ts'
import {
  asArray,
  asObject,
  asSize,
  asString,
  asStringRecord,
  type JsonLimits,
  type JsonNode,
  optionalField,
  parseJson,
  refuseCaseVariants,
  requiredField,
} from '../../common/json.ts'

const LIMITS: JsonLimits = { name: 'manifest', code: 'CORRUPT', maxBytes: 1000 }

function parse(text: string | Uint8Array, limits: Partial<JsonLimits> = {}): JsonNode {
  return parseJson(Buffer.from(text), { ...LIMITS, ...limits })
}

function messageOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof CodedError) return `${error.code} ${error.message}`
    throw error
  }
  return 'nothing thrown'
}

describe('parseJson', () => {
  test.each([
    [
      'a key twice',
      '{"a":1,"b":{},"a":2}',
      'CORRUPT manifest: has the key "a" twice in one object',
    ],
    [
      'a key twice, once escaped',
      '{"a":1,"\\u0061":2}',
      'CORRUPT manifest: has the key "a" twice in one object',
    ],
    [
      'a key twice in an inner object',
      '[{"x":{"k":[],"k":[]}}]',
      'CORRUPT manifest: has the key "k" twice in one object',
    ],
    ['a prototype key', '{"__proto__":{"admin":true}}', 'CORRUPT manifest: has a key "__proto__"'],
    [
      'an escaped prototype key',
      '{"\\u005f_proto__":1}',
      'CORRUPT manifest: has a key "__proto__"',
    ],
    ['HTML', '<html>', 'CORRUPT manifest: not valid JSON'],
    ['a cut document', '{"a":', 'CORRUPT manifest: not valid JSON'],
    ['text after the end', '{} x', 'CORRUPT manifest: not valid JSON at character 3'],
    ['a byte order mark', '\ufeff{}', 'CORRUPT manifest: not valid JSON'],
    ['nothing', '', 'CORRUPT manifest: not valid JSON'],
  ])('refuses %s', (_, text, message) => {
    expect(messageOf(() => parse(text))).toBe(message)
  })

  test('refuses invalid UTF-8', () => {
    const bytes = Buffer.concat([
      Buffer.from('{"a":"'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}'),
    ])
    expect(messageOf(() => parse(bytes))).toBe('CORRUPT manifest: not valid UTF-8')
  })

  test('refuses what is larger than its limit, and names the limit', () => {
    expect(messageOf(() => parse('[1,2]', { maxBytes: 4 }))).toBe(
      'CORRUPT manifest: 5 bytes; at most 4 are read',
    )
  })

  test('refuses deep nesting, and takes the deepest that is allowed', () => {
    expect(parse('[[[]]]', { maxDepth: 3 }).value).toEqual([[[]]])
    expect(messageOf(() => parse('[[[]]]', { maxDepth: 2 }))).toBe(
      'CORRUPT manifest: nested deeper than 2',
    )
    const million = 4 * 1024 * 1024
    expect(messageOf(() => parse('['.repeat(million), { maxBytes: million }))).toBe(
      'CORRUPT manifest: nested deeper than 32',
    )
  })

  test('refuses millions of empty values before it parses them', () => {
    const text = `[${'{},'.repeat(200_000)}0]`
    expect(messageOf(() => parse(text, { maxBytes: 1e6 }))).toBe(
      'CORRUPT manifest: holds more than 200000 values',
    )
  })

  test('takes the same key in different objects, and keys that look like structure', () => {
    const text = '{"a":{"x":1},"b":{"x":2},"{":"}","\\"a\\":":":","":[{"x":1},{"x":1}]}'
    expect(parse(text).value).toEqual(JSON.parse(text))
  })

  test('never quotes the document, nor keeps an error that does', () => {
    const run = () =>
      parse('{"auth": "hunter2-secret-value" x}', { name: 'secret', code: 'INVALID' })
    expect(run).toThrow(CodedError)
    try {
      run()
    } catch (error) {
      expect(String(error)).toBe('CodedError: secret: not valid JSON at character 32')
      expect(error).not.toHaveProperty('cause')
    }
  })

  test('reads what JSON.parse reads (property)', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        fc.pre(!text.includes('__proto__'))
        expect(parse(text, { maxBytes: 1e6, maxDepth: 100 }).value).toEqual(JSON.parse(text))
      }),
    )
  })

  test('finds a duplicated key wherever it is, however it is escaped (property)', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.array(fc.boolean(), { minLength: 1 }),
        fc.json({ maxDepth: 2 }),
        (key, nest, filler) => {
          fc.pre(key !== '__proto__' && !filler.includes('__proto__'))
          const escaped = `"${Array.from({ length: key.length }, (_, at) => `\\u${key.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`
          let text = `{${JSON.stringify(key)}:${filler},${escaped}:0}`
          for (const array of nest) text = array ? `[${filler},${text}]` : `{"in":${text}}`
          expect(messageOf(() => parse(text, { maxBytes: 1e6, maxDepth: 100 }))).toContain(
            'twice in one object',
          )
        },
      ),
    )
  })

  test('throws nothing but its own error on any bytes (property)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        messageOf(() => parse(bytes))
      }),
    )
  })
})

describe('accessors', () => {
  const document = asObject(
    parse('{"layers":[{"size":1},{"size":"12"}],"name":"x","bad":"\\ud800","n":null,"a b":true}'),
  )

  test.each<[string, () => unknown, string]>([
    [
      'a string for an integer',
      () =>
        asSize(
          requiredField(
            asObject(asArray(requiredField(document, 'layers'), 9)[1] ?? document),
            'size',
          ),
        ),
      'CORRUPT manifest.layers[1].size: expected an integer, found "12"',
    ],
    [
      'a string for an object',
      () => asObject(requiredField(document, 'name')),
      'CORRUPT manifest.name: expected an object, found "x"',
    ],
    [
      'an array for an object',
      () => asObject(requiredField(document, 'layers')),
      'CORRUPT manifest.layers: expected an object, found an array',
    ],
    [
      'an object for an array',
      () => asArray(document, 1),
      'CORRUPT manifest: expected an array, found an object',
    ],
    [
      'an array for a string',
      () => asString(requiredField(document, 'layers')),
      'CORRUPT manifest.layers: expected a string, found an array',
    ],
    [
      'a boolean under an odd key',
      () => asString(requiredField(document, 'a b')),
      'CORRUPT manifest["a b"]: expected a string, found true',
    ],
    [
      'a lone surrogate',
      () => asString(requiredField(document, 'bad')),
      'CORRUPT manifest.bad: holds half of a surrogate pair',
    ],
    [
      'too many items',
      () => asArray(requiredField(document, 'layers'), 1),
      'CORRUPT manifest.layers: 2 items; at most 1 are read',
    ],
    [
      'an absent field',
      () => requiredField(document, 'config'),
      'CORRUPT manifest: has no "config"',
    ],
    ['a null field', () => requiredField(document, 'n'), 'CORRUPT manifest: has no "n"'],
    [
      'a mixed record',
      () => asStringRecord(document),
      'CORRUPT manifest.layers: expected a string, found an array',
    ],
  ])('say where and what: %s', (_, run, message) => {
    expect(messageOf(run)).toBe(message)
  })

  test.each([
    ['1.5', 'CORRUPT manifest: expected an integer, found 1.5'],
    ['-1', 'CORRUPT manifest: expected an integer from 0 to 2^53 - 1, found -1'],
    [
      '9007199254740993',
      'CORRUPT manifest: expected an integer from 0 to 2^53 - 1, found 9007199254740992',
    ],
    ['1e999', 'CORRUPT manifest: expected an integer, found Infinity'],
    ['true', 'CORRUPT manifest: expected an integer, found true'],
  ])('asSize refuses %s', (text, message) => {
    expect(messageOf(() => asSize(parse(text)))).toBe(message)
  })

  test('asSize takes 0 to 2^53 - 1', () => {
    expect([
      asSize(parse('0')),
      asSize(parse('-0')),
      asSize(parse('9007199254740991')),
    ]).toStrictEqual([0, 0, Number.MAX_SAFE_INTEGER])
  })

  test('null counts as absent for an optional field', () => {
    expect(optionalField(document, 'n')).toBeUndefined()
  })

  test('a record inherits nothing', () => {
    const record = asStringRecord(parse('{"a":"b"}'))
    expect(record['constructor']).toBeUndefined()
    expect({ ...record }).toStrictEqual({ a: 'b' })
  })

  test('a secret document shows kinds, not values', () => {
    const secret = parse('{"auth":{"password":123456}}', {
      secret: true,
      name: 'secret of the volume',
    })
    const password = requiredField(asObject(requiredField(asObject(secret), 'auth')), 'password')
    expect(messageOf(() => asString(password))).toBe(
      'CORRUPT secret of the volume.auth.password: expected a string, found a number',
    )
  })
})

describe('refuseCaseVariants', () => {
  test.each([
    [
      'Layers',
      '{"Layers":[]}',
      'CORRUPT manifest.Layers: a variant of "layers"; expected "layers"',
    ],
    [
      'LAYERS',
      '{"LAYERS":[]}',
      'CORRUPT manifest.LAYERS: a variant of "layers"; expected "layers"',
    ],
    [
      'a long s, which Go folds',
      '{"layerſ":[]}',
      'CORRUPT manifest["layerſ"]: a variant of "layers"; expected "layers"',
    ],
    [
      'a Kelvin sign, which Go folds',
      '{"\u212aind":1}',
      'CORRUPT manifest["\u212aind"]: a variant of "kind"; expected "kind"',
    ],
  ])('refuses %s', (_, text, message) => {
    expect(messageOf(() => refuseCaseVariants(asObject(parse(text)), ['layers', 'kind']))).toBe(
      message,
    )
  })

  test('lets known and unknown fields be', () => {
    refuseCaseVariants(asObject(parse('{"layers":[],"Other":1}')), ['layers'])
  })
})
