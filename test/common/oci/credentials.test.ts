import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError, isCodedError } from '../../../common/errors.ts'
import {
  ANONYMOUS,
  combineKeyrings,
  type Keyring,
  keyringOf,
  parseDockerConfig,
} from '../../../common/oci/credentials.ts'

const LABEL = { label: 'secret of the volume' }

function auth(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64')
}

function config(auths: Record<string, unknown>): Buffer {
  return Buffer.from(JSON.stringify({ auths }))
}

/** Each registry's user is its own key, so that a lookup shows which entries matched. */
function keyringFor(...keys: string[]): Keyring {
  return parseDockerConfig(
    config(Object.fromEntries(keys.map((key) => [key, { username: key, password: 'p' }]))),
    LABEL,
  )
}

function users(keyring: Keyring, registry: string, repository: string): string[] {
  return keyring
    .lookup(registry, repository)
    .map(({ credential }) => (credential.kind === 'basic' ? credential.username : credential.kind))
}

describe('entries', () => {
  test.each<[string, unknown, unknown]>([
    [
      'auth',
      { auth: auth('user', 'pass:word') },
      [{ kind: 'basic', username: 'user', password: 'pass:word' }],
    ],
    [
      'auth with padding NULs, as old docker wrote',
      { auth: auth('user', 'pass\0\0') },
      [{ kind: 'basic', username: 'user', password: 'pass' }],
    ],
    [
      'auth without padding',
      { auth: auth('ab', 'c').replace(/=+$/, '') },
      [{ kind: 'basic', username: 'ab', password: 'c' }],
    ],
    [
      'username and password',
      { username: 'u', password: 'p', email: 'e' },
      [{ kind: 'basic', username: 'u', password: 'p' }],
    ],
    [
      'auth before username',
      { auth: auth('a', 'b'), username: 'u', password: 'p' },
      [{ kind: 'basic', username: 'a', password: 'b' }],
    ],
    [
      'an identity token, as ACR gives',
      { auth: auth('00000000-0000-0000-0000-000000000000', ''), identitytoken: 'idt' },
      [{ kind: 'identity-token', token: 'idt' }],
    ],
    ['a registry token', { registrytoken: 'rt' }, [{ kind: 'registry-token', token: 'rt' }]],
    [
      'an identity token and a user',
      { identitytoken: 'idt', username: 'u', password: 'p' },
      [
        { kind: 'identity-token', token: 'idt' },
        { kind: 'basic', username: 'u', password: 'p' },
      ],
    ],
    [
      'a token for a user name, with an empty password',
      { auth: auth('glpat-token', '') },
      [{ kind: 'basic', username: 'glpat-token', password: '' }],
    ],
    ['nothing', {}, []],
  ])('%s', (_, entry, credentials) => {
    const keyring = parseDockerConfig(config({ 'ghcr.io': entry }), LABEL)
    expect(keyring.lookup('ghcr.io', 'acme/app')).toStrictEqual(
      (credentials as unknown[]).map((credential) => ({ ...LABEL, credential })),
    )
  })
})

describe('whose a credential stays when it rotates', () => {
  const holderOf = (entry: object, options: { namespace?: string }) =>
    parseDockerConfig(config({ 'ecr.example': entry }), { ...LABEL, ...options })
      .lookup('ecr.example', 'app')
      .map(({ credential }) => credential.holder)

  test.each([['AWS'], ['oauth2accesstoken'], ['00000000-0000-0000-0000-000000000000']])(
    'the namespace has that of %s, which a cloud replaces every few hours',
    (username) => {
      expect(holderOf({ username, password: 'p' }, { namespace: 'shop' })).toStrictEqual([
        { namespace: 'shop', username },
      ])
    },
  )

  test('a token beside such a user rotates too', () => {
    const username = '00000000-0000-0000-0000-000000000000'
    const entry = { auth: auth(username, ''), identitytoken: 't' }
    expect(holderOf(entry, { namespace: 'shop' })).toStrictEqual([{ namespace: 'shop', username }])
  })

  test('any other user is known by his secret alone, and so is every one outside a namespace', () => {
    expect(holderOf({ username: 'alice', password: 'p' }, { namespace: 'shop' })).toStrictEqual([
      undefined,
    ])
    expect(holderOf({ username: 'AWS', password: 'p' }, {})).toStrictEqual([undefined])
    expect(holderOf({ username: 'AWS', password: 'p' }, { namespace: '' })).toStrictEqual([
      undefined,
    ])
  })
})

describe('lookup, as the kubelet', () => {
  test.each([
    [
      'the longest path first',
      ['ghcr.io', 'ghcr.io/acme', 'ghcr.io/acme/app'],
      'ghcr.io',
      'acme/app',
      ['ghcr.io/acme/app', 'ghcr.io/acme', 'ghcr.io'],
    ],
    ['no other path', ['ghcr.io/other'], 'ghcr.io', 'acme/app', []],
    ['no other host', ['quay.io', 'xghcr.io', 'ghcr.io.evil.example'], 'ghcr.io', 'acme/app', []],
    [
      'the scheme does not count',
      ['https://ghcr.io', 'http://ghcr.io/acme'],
      'ghcr.io',
      'acme/app',
      ['http://ghcr.io/acme', 'https://ghcr.io'],
    ],
    [
      '/v1/ and /v2/ are the registry',
      ['https://ghcr.io/v1/', 'ghcr.io/v2/acme'],
      'ghcr.io',
      'acme/app',
      ['ghcr.io/v2/acme', 'https://ghcr.io/v1/'],
    ],
    [
      'the port must be the same',
      ['reg.example.com', 'reg.example.com:5000'],
      'reg.example.com:5000',
      'a',
      ['reg.example.com:5000'],
    ],
    ['no port is no wildcard', ['reg.example.com:5000'], 'reg.example.com', 'a', []],
    ['a glob for one label', ['*.example.com'], 'reg.example.com', 'a', ['*.example.com']],
    ['not for two', ['*.example.com'], 'a.b.example.com', 'a', []],
    ['not for none', ['*.example.com'], 'example.com', 'a', []],
    ['a glob inside a label', ['app*.k?s.io'], 'app12.k8s.io', 'a', ['app*.k?s.io']],
    [
      'a glob with port and path',
      ['*.example.com:5000/team'],
      'reg.example.com:5000',
      'team/app',
      ['*.example.com:5000/team'],
    ],
    [
      'names before globs',
      ['*.example.com', 'reg.example.com'],
      'reg.example.com',
      'a',
      ['reg.example.com', '*.example.com'],
    ],
    ['IPv6', ['[::1]:5000'], '[::1]:5000', 'a', ['[::1]:5000']],
    [
      'Docker Hub by its old name',
      ['https://index.docker.io/v1/'],
      'docker.io',
      'library/redis',
      ['https://index.docker.io/v1/'],
    ],
    ['Docker Hub by its name', ['docker.io'], 'index.docker.io', 'library/redis', ['docker.io']],
    [
      'a repository of Docker Hub',
      ['docker.io/acme', 'docker.io'],
      'docker.io',
      'acme/app',
      ['docker.io/acme', 'docker.io'],
    ],
    [
      'a repository of Docker Hub before the old name of the whole',
      ['https://index.docker.io/v1/', 'docker.io/acme'],
      'docker.io',
      'acme/app',
      ['docker.io/acme', 'https://index.docker.io/v1/'],
    ],
  ])('%s', (_, keys, registry, repository, expected) => {
    expect(users(keyringFor(...keys), registry, repository)).toStrictEqual(expected)
  })

  test('a glob full of stars ends', () => {
    const star = `${'*a'.repeat(30)}b.example.com`
    expect(users(keyringFor(star), `${'a'.repeat(63)}.example.com`, 'x')).toStrictEqual([])
  })

  test('several keyrings answer in their order, and nobody knows nothing', () => {
    const keyring = combineKeyrings([keyringFor('ghcr.io'), ANONYMOUS, keyringFor('ghcr.io/acme')])
    expect(users(keyring, 'ghcr.io', 'acme/app')).toStrictEqual(['ghcr.io', 'ghcr.io/acme'])
  })
})

describe('documents', () => {
  const entry = { username: 'u', password: 'p' }

  test.each<[string, unknown, string[]]>([
    ['config.json', { auths: { 'ghcr.io': entry }, credsStore: 'desktop' }, ['u']],
    ['.dockercfg', { 'ghcr.io': entry }, ['u']],
    [
      'config.json without auths',
      { credsStore: 'desktop', HttpHeaders: { 'User-Agent': 'x' } },
      [],
    ],
    ['an empty object', {}, []],
  ])('parseDockerConfig reads %s', (_, document, expected) => {
    const keyring = parseDockerConfig(Buffer.from(JSON.stringify(document)), LABEL)
    expect(users(keyring, 'ghcr.io', 'a')).toStrictEqual(expected)
  })

  test('keyringOf reads both keys of a secret, the newer first, as text or bytes', () => {
    const keyring = keyringOf(
      {
        '.dockercfg': Buffer.from(
          JSON.stringify({ 'ghcr.io': { username: 'old', password: 'p' } }),
        ),
        '.dockerconfigjson': config({ 'ghcr.io': { username: 'new', password: 'p' } }).toString(),
        username: 'ignored',
      },
      LABEL,
    )
    expect(users(keyring, 'ghcr.io', 'a')).toStrictEqual(['new', 'old'])
  })

  test('keyringOf of no data is anonymous', () => {
    expect(keyringOf({}, LABEL).lookup('ghcr.io', 'a')).toStrictEqual([])
  })

  const SECRET = 'hunter2'
  test.each<[string, () => Keyring, string]>([
    [
      'a secret of another type',
      () => keyringOf({ password: SECRET }, LABEL),
      'secret of the volume: has neither the key ".dockerconfigjson" nor ".dockercfg", only "password"; expected a secret of type kubernetes.io/dockerconfigjson',
    ],
    [
      'a secret of many keys',
      () =>
        keyringOf({ 'tls.crt': SECRET, 'tls.key': '', a: '', b: '', c: '', d: '', e: '' }, LABEL),
      'secret of the volume: has neither the key ".dockerconfigjson" nor ".dockercfg", only "tls.crt", "tls.key", "a", "b", "c" and 2 more; expected a secret of type kubernetes.io/dockerconfigjson',
    ],
    [
      'a key that holds a user',
      () => parseDockerConfig(config({ [`https://u:${SECRET}@ghcr.io`]: { auth: 1 } }), LABEL),
      'secret of the volume: the key of an entry holds a user name; expected a registry alone',
    ],
    [
      'a key that holds a user, twice',
      () =>
        parseDockerConfig(
          Buffer.from(`{"auths":{"u:${SECRET}@ghcr.io":{},"u:${SECRET}@ghcr.io":{}}}`),
          LABEL,
        ),
      'secret of the volume: has the key twice in one object',
    ],
    [
      'text',
      () => keyringOf({ '.dockerconfigjson': SECRET }, LABEL),
      'secret of the volume: not valid JSON',
    ],
    [
      'a password that is a number',
      () => parseDockerConfig(config({ 'ghcr.io': { username: SECRET, password: 12345 } }), LABEL),
      'secret of the volume.auths["ghcr.io"].password: expected a string, found a number',
    ],
    [
      'auth without a colon',
      () =>
        parseDockerConfig(
          config({ 'ghcr.io': { auth: Buffer.from(SECRET).toString('base64') } }),
          LABEL,
        ),
      'secret of the volume.auths["ghcr.io"].auth: expected base64 of "user:password"',
    ],
    [
      'auth that is no base64',
      () => parseDockerConfig(config({ 'ghcr.io': { auth: `${SECRET}:%%%` } }), LABEL),
      'secret of the volume.auths["ghcr.io"].auth: expected base64 of "user:password"',
    ],
    [
      'an entry that is text',
      () => parseDockerConfig(config({ 'ghcr.io': SECRET }), LABEL),
      'secret of the volume.auths["ghcr.io"]: expected an object, found a string',
    ],
    [
      'a key that is no registry',
      () => parseDockerConfig(config({ 'https:///x': { auth: auth('a', 'b') } }), LABEL),
      'secret of the volume.auths["https:///x"]: expected a registry, e.g. "ghcr.io"',
    ],
    [
      'too much',
      () => parseDockerConfig(Buffer.alloc(1024 * 1024 + 1, 0x20), LABEL),
      'secret of the volume: 1048577 bytes; at most 1048576 are read',
    ],
  ])('refuses %s without showing a value', (_, run, message) => {
    expect(run).toThrow(new CodedError('INVALID', message))
  })

  test('a secret of 34,000 entries, which would stop the driver, is refused by their number', () => {
    const entries = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`r${at}`, {}]))
    const secret = (fault: string) => new CodedError('INVALID', `secret of the volume${fault}`)
    const dockercfg = (count: number) =>
      keyringOf({ '.dockercfg': JSON.stringify(entries(count)) }, LABEL)
    expect(() => parseDockerConfig(config(entries(34_000)), LABEL)).toThrow(
      secret(': holds more than 20000 values'),
    )
    expect(() => parseDockerConfig(config(entries(1_001)), LABEL)).toThrow(
      secret('.auths: 1001 entries; at most 1000 are read'),
    )
    expect(() => dockercfg(1_001)).toThrow(secret(': 1001 entries; at most 1000 are read'))
    parseDockerConfig(config(entries(1_000)), LABEL)
    dockercfg(1_000)
  })

  test('1,000 keys that all match are no 1,000 requests: the best ten are tried', () => {
    const keys = Array.from({ length: 999 }, (_, at) => `*.io/${'a'.repeat(at)}`)
    const keyring = keyringFor(...keys, 'ghcr.io')
    const repository = 'a'.repeat(999)
    const found = users(keyring, 'ghcr.io', repository)
    expect(found).toHaveLength(10)
    expect(found[0]).toBe('ghcr.io')
    const twice = combineKeyrings([keyring, keyring])
    expect(users(twice, 'ghcr.io', repository)).toStrictEqual(found)
  })

  test('an auth of padding or NULs alone ends (a run is not looked at again from each of its characters)', () => {
    const nuls = Buffer.from(`u:${'\0'.repeat(600_000)}x`).toString('base64')
    const keyring = parseDockerConfig(config({ 'ghcr.io': { auth: nuls } }), LABEL)
    expect(users(keyring, 'ghcr.io', 'a')).toStrictEqual(['u'])
    expect(() =>
      parseDockerConfig(config({ 'ghcr.io': { auth: `${'='.repeat(900_000)}a` } }), LABEL),
    ).toThrow(/expected base64/)
  })

  test('no error shows a value (property)', () => {
    const value = fc.oneof(
      fc.constant(SECRET),
      fc.constant([SECRET]),
      fc.constant({ x: SECRET }),
      fc.constant(7),
    )
    const fields = fc.constantFrom('auth', 'username', 'password', 'identitytoken', 'registrytoken')
    fc.assert(
      fc.property(fc.dictionary(fields, value), fc.string(), (broken, tail) => {
        const text = JSON.stringify({ auths: { 'ghcr.io': broken } }) + tail
        try {
          parseDockerConfig(Buffer.from(text), LABEL)
        } catch (error) {
          if (!isCodedError(error, 'INVALID')) throw error
          expect(`${error.message} ${error.cause}`).not.toContain(SECRET)
        }
      }),
    )
  })
})
