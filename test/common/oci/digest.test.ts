import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  digestAlgorithm,
  digestHex,
  digestOf,
  finishDigest,
  isDigest,
  parseDigest,
} from '../../../common/oci/digest.ts'

const HELLO = 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

test('digests bytes, and takes a digest apart', () => {
  expect([
    digestOf('hello'),
    finishDigest('sha256', createHash('sha256').update('hello')),
    digestAlgorithm(HELLO),
    digestHex(HELLO),
    digestOf('', 'sha512').length,
    digestAlgorithm(digestOf('', 'sha512')),
  ]).toStrictEqual([HELLO, HELLO, 'sha256', HELLO.slice(7), 7 + 128, 'sha512'])
})

// CVE-2024-3727: a digest used as a path unchecked.
test.each([
  'sha256:../../../../etc/passwd',
  `sha256:${'a'.repeat(63)}`,
  `sha256:${'a'.repeat(65)}`,
  `sha256:${'A'.repeat(64)}`,
  `sha512:${'a'.repeat(64)}`,
  `md5:${'a'.repeat(32)}`,
  `sha256:${'a'.repeat(64)}\n`,
  `sha256:${'a'.repeat(32)}/${'a'.repeat(31)}`,
  '',
])('CVE-2024-3727: %j is not a digest', (text) => {
  expect(isDigest(text)).toBe(false)
  expect(() => parseDigest(text)).toThrow(
    `Invalid digest ${JSON.stringify(text)}: expected "sha256:" and 64, or "sha512:" and 128, lowercase hex characters`,
  )
})
