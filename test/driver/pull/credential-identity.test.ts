import { describe, expect, test } from 'vitest'
import { keyringOf } from '../../../common/oci/credentials.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import { credentialIdentity, keyringIdentities } from '../../../driver/pull/credential-identity.ts'
import { ANYONE } from '../../../driver/store/access.ts'

const HOST = 'ecr.example'
const REFERENCE: Reference = { registry: HOST, repository: 'acme/app', tag: 'v1' }

/** Who a pod with this entry in its secret is, best first. */
function identities(entry: object, namespace = 'shop', salt = 'salt') {
  const config = JSON.stringify({ auths: { [HOST]: entry } })
  const keyring = keyringOf({ '.dockerconfigjson': config }, { label: 'secret', namespace })
  return keyringIdentities(salt, keyring, REFERENCE)
}

const identity = (...args: Parameters<typeof identities>) => identities(...args)[0]

describe('a credential that stays', () => {
  const ALICE = { username: 'alice', password: 'a' }

  test('is the same holder in any namespace: who has the secret may read', () => {
    expect(identity(ALICE, 'bank')).toBe(identity(ALICE))
  })

  test.each<[string, object]>([
    ['another password', { username: 'alice', password: 'b' }],
    ['another user', { username: 'bob', password: 'a' }],
    ['user and password cut elsewhere', { username: 'alic', password: 'ea' }],
    ['a token of that text', { identitytoken: 'a' }],
    ['a registry token of that text', { registrytoken: 'a' }],
  ])('%s is another one', (_, entry) => {
    expect(identity(entry)).not.toBe(identity(ALICE))
  })

  test('so is the same at another host, and on another node', () => {
    const [found] = keyringOf(
      { '.dockerconfigjson': JSON.stringify({ auths: { '*.example': ALICE } }) },
      { label: 'secret' },
    ).lookup(HOST, 'acme/app')
    expect(credentialIdentity('salt', HOST, found?.credential)).toBe(identity(ALICE))
    expect(credentialIdentity('salt', 'other.example', found?.credential)).not.toBe(identity(ALICE))
    expect(identity(ALICE, 'shop', 'pepper')).not.toBe(identity(ALICE))
  })

  test('tells nothing of the secret', () => {
    expect(identity(ALICE)).toMatch(/^[0-9a-f]{64}$/)
  })
})

describe('a credential that rotates', () => {
  const MORNING = { username: 'AWS', password: 'of the morning' }
  const EVENING = { username: 'AWS', password: 'of the evening' }

  test('stays the same holder when it does', () => {
    expect(identity(EVENING)).toBe(identity(MORNING))
  })

  test('is another holder in another namespace: an attacker cannot become one by naming the user', () => {
    expect(identity(MORNING, 'attacker')).not.toBe(identity(MORNING))
  })

  test('is none outside of a namespace', () => {
    expect(identity(EVENING, '')).not.toBe(identity(MORNING, ''))
  })

  test('no password imitates one', () => {
    const forged = [
      { username: 'rotating', password: 'shop' },
      { registrytoken: JSON.stringify(['rotating', 'shop', 'AWS']) },
      { username: 'AWS"', password: 'shop' },
    ]
    for (const entry of forged) expect(identity(entry)).not.toBe(identity(MORNING))
  })
})

test("without the caller's credentials it is anyone, who everybody is too", () => {
  expect(credentialIdentity('salt', HOST, undefined)).toBe(ANYONE)
  expect(identities({})).toEqual([ANYONE])
  expect(identities({ username: 'alice', password: 'a' }).at(-1)).toBe(ANYONE)
})
