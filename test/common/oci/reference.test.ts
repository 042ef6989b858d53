import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError, isCodedError } from '../../../common/errors.ts'
import { formatReference, parseReference, type Reference } from '../../../common/oci/reference.ts'

const DIGEST = `sha256:${'0'.repeat(64)}` as const

describe('parseReference', () => {
  test.each<[string, Reference]>([
    ['ghcr.io/acme/app:v1', { registry: 'ghcr.io', repository: 'acme/app', tag: 'v1' }],
    ['ghcr.io/acme/app', { registry: 'ghcr.io', repository: 'acme/app' }],
    ['localhost:5000/a:1', { registry: 'localhost:5000', repository: 'a', tag: '1' }],
    ['[::1]:5000/a/b_c__d-e', { registry: '[::1]:5000', repository: 'a/b_c__d-e' }],
    [`127.0.0.1/a@${DIGEST}`, { registry: '127.0.0.1', repository: 'a', digest: DIGEST }],
    [`h/a:t@${DIGEST}`, { registry: 'h', repository: 'a', tag: 't', digest: DIGEST }],
  ])('reads %s', (text, expected) => {
    expect(parseReference(text)).toStrictEqual(expected)
  })

  test.each([
    ['', 'empty; expected registry/repository:tag, e.g. "ghcr.io/acme/app:v1"'],
    ['https://ghcr.io/a:1', 'expected no scheme, e.g. "ghcr.io/acme/app:v1"'],
    ['oci://ghcr.io/a:1', 'expected no scheme, e.g. "ghcr.io/acme/app:v1"'],
    ['redis:7', 'no registry; expected registry/repository:tag, e.g. "docker.io/library/redis:7"'],
    ['-x.io/a', '"-x.io" is not a registry host, e.g. "ghcr.io" or "localhost:5000"'],
    ['../a', '".." is not a registry host, e.g. "ghcr.io" or "localhost:5000"'],
    ['user@ghcr.io/a', '"user@ghcr.io" is not a registry host, e.g. "ghcr.io" or "localhost:5000"'],
    ['ghcr.io:0/a', 'port 0 is not within 1 to 65535'],
    ['ghcr.io:70000/a', 'port 70000 is not within 1 to 65535'],
    [
      'ghcr.io/Acme/App',
      '"Acme/App" is not a repository; expected lowercase letters, digits, separators "." "_" "-" and "/", e.g. "acme/app"',
    ],
    [
      'ghcr.io/a/../b',
      '"a/../b" is not a repository; expected lowercase letters, digits, separators "." "_" "-" and "/"',
    ],
    [
      'ghcr.io//a',
      '"/a" is not a repository; expected lowercase letters, digits, separators "." "_" "-" and "/"',
    ],
    [
      'ghcr.io/a:',
      '"" is not a tag; expected up to 128 letters, digits, ".", "_" and "-", not starting with "." or "-"',
    ],
    [
      'ghcr.io/a:b c',
      '"b c" is not a tag; expected up to 128 letters, digits, ".", "_" and "-", not starting with "." or "-"',
    ],
    [
      'ghcr.io/a@sha256:12',
      '"sha256:12" is not a digest; expected "sha256:" and 64 lowercase hex characters',
    ],
    [`ghcr.io/${'a'.repeat(256)}`, 'the repository is longer than 255 characters'],
  ])('refuses %j', (text, why) => {
    expect(() => parseReference(text)).toThrow(
      new CodedError('INVALID', `Invalid reference ${JSON.stringify(text.slice(0, 200))}: ${why}`),
    )
  })

  test('refuses what is too long, without quoting all of it', () => {
    const text = `ghcr.io/${'a/'.repeat(600)}`
    expect(() => parseReference(text)).toThrow(
      `Invalid reference ${JSON.stringify(text.slice(0, 200))}: longer than 1024 characters`,
    )
  })

  test('throws nothing but INVALID, in short time, on any text (property)', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...'ab./:@-_[]') }),
    )
    fc.assert(
      fc.property(texts, (text) => {
        try {
          const reference = parseReference(text)
          expect(formatReference(reference)).toBe(text)
        } catch (error) {
          if (!isCodedError(error, 'INVALID')) throw error
        }
      }),
    )
  })
})

test('what is written is read back equal (property)', () => {
  const label = fc.stringMatching(/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?$/)
  const host = fc.oneof(
    fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.')),
    fc.ipV4(),
    fc
      .ipV6()
      .filter((ip) => !ip.includes('.'))
      .map((ip) => `[${ip}]`),
  )
  const port = fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined })
  const segment = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,8}){0,2}$/)
  const reference = fc
    .record({
      host,
      port,
      segments: fc.array(segment, { minLength: 1, maxLength: 5 }),
      tag: fc.option(fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,30}$/), { nil: undefined }),
      digest: fc.option(fc.stringMatching(/^[a-f0-9]{64}$/), { nil: undefined }),
    })
    .map(
      ({ host: name, port: at, segments, tag, digest }): Reference => ({
        registry: at === undefined ? name : `${name}:${at}`,
        repository: segments.join('/'),
        ...(tag !== undefined && { tag }),
        ...(digest !== undefined && { digest: `sha256:${digest}` as const }),
      }),
    )
  fc.assert(
    fc.property(reference, (value) => {
      expect(parseReference(formatReference(value))).toStrictEqual(value)
    }),
  )
})
