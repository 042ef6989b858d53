import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../../common/errors.ts'
import {
  formatProviderRequest,
  parseProviderResponse,
} from '../../../driver/credentials/provider-response.ts'
import { thrownBy } from '../../support/thrown.ts'

const CONFIG = { apiVersion: 'credentialprovider.kubelet.k8s.io/v1' } as const
const SECRET = 'hunter2hunter2'

function answer(fields: object): Buffer {
  return Buffer.from(
    JSON.stringify({
      kind: 'CredentialProviderResponse',
      apiVersion: CONFIG.apiVersion,
      cacheKeyType: 'Registry',
      ...fields,
    }),
  )
}

test('asks about an image', () => {
  expect(JSON.parse(formatProviderRequest(CONFIG, 'ghcr.io/acme/app'))).toStrictEqual({
    kind: 'CredentialProviderRequest',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    image: 'ghcr.io/acme/app',
  })
})

test('finds the users for a repository, longest entry first', () => {
  const { keyring, ...rest } = parseProviderResponse(
    answer({
      cacheKeyType: 'Global',
      cacheDuration: '6h0m0s',
      auth: {
        '*.example.com': { username: 'glob', password: 'p' },
        'reg.example.com': { username: 'host', password: 'p' },
        'reg.example.com/team': { username: 'team', password: 'p' },
        'reg.example.com/other': { username: 'other', password: 'p' },
        'reg.example.com/team/app': { username: '', password: '' },
      },
    }),
    CONFIG,
  )
  expect(rest).toStrictEqual({ cacheKeyType: 'Global', cacheMs: 21_600_000 })
  expect(
    keyring
      .lookup('reg.example.com', 'team/app')
      .map(({ credential }) => credential.kind === 'basic' && credential.username),
  ).toStrictEqual(['team', 'host', 'glob'])
})

test.each([[{}], [{ auth: null, cacheDuration: null }], [{ auth: {} }]])(
  'knows nothing and no duration of its own in %j',
  (fields) => {
    const { keyring, cacheMs } = parseProviderResponse(answer(fields), CONFIG)
    expect(keyring.lookup('ghcr.io', 'a')).toStrictEqual([])
    expect(cacheMs).toBe(undefined)
  },
)

describe('refuses, without a value,', () => {
  test.each<[string, Buffer, string]>([
    ['text', Buffer.from(SECRET), 'answer: not valid JSON'],
    [
      'another kind',
      answer({ kind: SECRET }),
      'answer.kind: expected "CredentialProviderResponse"',
    ],
    [
      'another version',
      answer({ apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1' }),
      'answer.apiVersion: expected "credentialprovider.kubelet.k8s.io/v1"',
    ],
    ['no cache key type', answer({ cacheKeyType: undefined }), 'answer: has no "cacheKeyType"'],
    [
      'an unknown one',
      answer({ cacheKeyType: SECRET }),
      'answer.cacheKeyType: expected "Image", "Registry" or "Global"',
    ],
    [
      'a negative duration',
      answer({ cacheDuration: '-5s' }),
      'answer.cacheDuration: expected a duration, e.g. "6h0m0s"',
    ],
    [
      'a password that is a number',
      answer({ auth: { 'ghcr.io': { username: SECRET, password: 1 } } }),
      'answer.auth["ghcr.io"].password: expected a string, found a number',
    ],
    [
      'a key with a user',
      answer({ auth: { [`u:${SECRET}@ghcr.io`]: {} } }),
      'answer.auth: the key of an entry names no registry',
    ],
    [
      'auth that is text',
      answer({ auth: SECRET }),
      'answer.auth: expected an object, found a string',
    ],
  ])('%s', (_, bytes, message) => {
    expect(thrownBy(() => parseProviderResponse(bytes, CONFIG))).toBe(`UNAVAILABLE ${message}`)
  })

  test('any JSON that is no answer', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        try {
          parseProviderResponse(Buffer.from(text), CONFIG)
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError)
        }
      }),
    )
  })
})
