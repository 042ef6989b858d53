import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseChallenge } from '../../../common/oci/challenge.ts'

const BEARER = {
  scheme: 'bearer',
  realm: 'https://auth.example.com/token',
  service: 'registry',
  scope: 'repository:acme/app:pull',
}

test.each([
  ['Basic realm="x"', { scheme: 'basic' }],
  ['basic', { scheme: 'basic' }],
  [
    'Bearer realm="https://auth.example.com/token",service="registry",scope="repository:acme/app:pull"',
    BEARER,
  ],
  [
    'bearer  scope = "repository:acme/app:pull" , service=registry,REALM="https://auth.example.com/token", error="insufficient_scope"',
    BEARER,
  ],
  [
    'Basic realm="a, b", Bearer realm="https://auth.example.com/token",service="registry",scope="repository:acme/app:pull"',
    BEARER,
  ],
  [
    'Bearer realm="https://auth.example.com/\\token"',
    { ...BEARER, service: undefined, scope: undefined },
  ],
  ['Negotiate, Basic realm="x"', { scheme: 'basic' }],
  ['Bearer realm="ftp://x/", Basic realm="x"', { scheme: 'basic' }],
  ['Bearer realm="https://user:secret@auth.example.com/token"', undefined],
  ['Bearer realm="/token"', undefined],
  ['Bearer service="registry"', undefined],
  ['Negotiate abc', undefined],
  ['', undefined],
  [undefined, undefined],
  [`Basic ${'x'.repeat(9000)}`, undefined],
  [' , ,, Basic realm="x"', { scheme: 'basic' }],
])('%s', (header, expected) => {
  expect(parseChallenge(header)).toEqual(expected)
})

test('a header full of blanks, which costs a look at each of them for each of the others, is not read', () => {
  expect(parseChallenge(`Basic realm="x"${' '.repeat(2033)}`)).toEqual({ scheme: 'basic' })
  expect(parseChallenge(`Basic realm="x"${' '.repeat(2034)}`)).toBeUndefined()
})

test('ends on any header (property)', () => {
  const noise = fc.string({ unit: fc.constantFrom(...'Bearer Basic realm=",\\ \t:/') })
  fc.assert(
    fc.property(noise, (header) => {
      parseChallenge(header)
    }),
  )
})
