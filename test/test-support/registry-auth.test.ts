import { request } from 'undici'
import { describe, expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { type RegistryOptions, startRegistry } from '../support/registry.ts'

const BUILT = artifact({ layers: [{ title: 'hello.txt', content: 'hello' }] })
const ALICE = { username: 'alice', password: 'wonder' }
const USERS = { alice: 'wonder', bob: 'builder' }
const BASIC = `Basic ${Buffer.from('alice:wonder').toString('base64')}`
const WRONG = `Basic ${Buffer.from('alice:guess').toString('base64')}`

async function call(url: string, authorization?: string) {
  const response = await request(url, {
    headers: authorization === undefined ? {} : { authorization },
  })
  const body = await response.body.json().catch(() => undefined)
  return {
    status: response.statusCode,
    challenge: response.headers['www-authenticate'],
    body: body as { token?: string; refresh_token?: string; expires_in?: number } | undefined,
  }
}

async function started(auth: NonNullable<RegistryOptions['auth']>) {
  const registry = await startRegistry({ auth })
  await push(registry.url, 'acme/app:v1', BUILT, { credential: ALICE })
  registry.clearRequests()
  return { registry, url: `${registry.url}/v2/acme/app/manifests/v1` }
}

async function grant(url: string, fields: Record<string, string>) {
  const response = await request(`${url}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      service: 'registry.test',
      client_id: 'test',
      ...fields,
    }).toString(),
  })
  const body = (await response.body.json()) as { access_token?: string; refresh_token?: string }
  return { status: response.statusCode, body }
}

describe('basic authentication', () => {
  test('lets in who has the password', async () => {
    const { registry, url } = await started({ kind: 'basic', users: USERS })
    await using _ = registry
    const anonymous = await call(url)
    expect([anonymous.status, anonymous.challenge]).toEqual([401, 'Basic realm="registry.test"'])
    expect(anonymous.body).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] })
    expect((await call(url, WRONG)).status).toBe(401)
    expect((await call(url, 'Bearer x')).status).toBe(401)
    expect((await call(url, BASIC)).status).toBe(200)
    expect(registry.requests.map((logged) => logged.authorization)).toEqual([
      'none',
      'basic',
      'bearer',
      'basic',
    ])
  })

  test('refuses a user without access with 403', async () => {
    const access = (user: string | undefined, _: string, action: string) =>
      user === 'alice' || (user === 'bob' && action === 'push')
    const { registry, url } = await started({ kind: 'basic', users: USERS, access })
    await using _ = registry
    const bob = `Basic ${Buffer.from('bob:builder').toString('base64')}`
    expect(await call(url, bob)).toMatchObject({
      status: 403,
      body: { errors: [{ code: 'DENIED' }] },
    })
  })

  test('lets anyone pull and nobody push without a name, where that is allowed', async () => {
    const { registry, url } = await started({ kind: 'basic', users: USERS, anonymousPull: true })
    await using _ = registry
    expect((await call(url)).status).toBe(200)
    await expect(push(registry.url, 'acme/app:v2', BUILT)).rejects.toThrow('answered 401')
  })
})

describe('bearer authentication', () => {
  test('challenges with realm, service and scope, and takes the token for that scope only', async () => {
    const { registry, url } = await started({ kind: 'bearer', users: USERS })
    await using _ = registry
    const { status, challenge } = await call(url)
    expect([status, challenge]).toEqual([
      401,
      `Bearer realm="${registry.url}/token",service="registry.test",scope="repository:acme/app:pull"`,
    ])
    const tokenUrl = `${registry.url}/token?service=registry.test&scope=repository:acme/app:pull`
    const { body } = await call(tokenUrl, BASIC)
    expect(body).toMatchObject({ token: expect.any(String), expires_in: 300 })
    const bearer = `Bearer ${body?.token}`
    expect((await call(url, bearer)).status).toBe(200)
    expect((await call(`${registry.url}/v2/`, bearer)).status).toBe(200)
    expect(await call(`${registry.url}/v2/acme/other/tags/list`, bearer)).toMatchObject({
      status: 401,
      challenge: expect.stringContaining('error="insufficient_scope"'),
    })
    expect((await call(tokenUrl, WRONG)).status).toBe(401)
    expect(registry.requests.map(({ path }) => path)).toContain('/token')
  })

  test('never takes the password itself', async () => {
    const { registry, url } = await started({ kind: 'bearer', users: USERS })
    await using _ = registry
    expect((await call(url, BASIC)).status).toBe(401)
  })

  test('gives an anonymous token that pulls where that is allowed', async () => {
    for (const anonymousPull of [true, false]) {
      const { registry, url } = await started({ kind: 'bearer', users: USERS, anonymousPull })
      await using _ = registry
      const scope = 'repository:acme/app:pull,push'
      const { body } = await call(`${registry.url}/token?scope=${scope}`)
      expect((await call(url, `Bearer ${body?.token}`)).status).toBe(anonymousPull ? 200 : 401)
      await expect(push(registry.url, 'acme/app:v2', BUILT)).rejects.toThrow('401')
    }
  })

  test('refuses at the token endpoint where it is told so', async () => {
    const auth = { kind: 'bearer', users: USERS, refusal: 'token' } as const
    const { registry } = await started(auth)
    await using _ = registry
    const answer = await call(`${registry.url}/token?scope=repository:acme/app:pull`)
    expect(answer).toMatchObject({ status: 403, body: { errors: [{ code: 'DENIED' }] } })
  })

  test('forgets tokens when they expire', async () => {
    const { registry, url } = await started({ kind: 'bearer', users: USERS })
    await using _ = registry
    const bearer = `Bearer ${registry.accessToken('alice', 'acme/app')}`
    expect((await call(url, bearer)).status).toBe(200)
    registry.expireTokens()
    expect(await call(url, bearer)).toMatchObject({
      status: 401,
      challenge: expect.stringContaining('error="invalid_token"'),
    })
  })

  test('takes no token whose time is over', async () => {
    const auth = { kind: 'bearer', users: USERS } as const
    await using registry = await startRegistry({ auth: { ...auth, tokenTtlSeconds: 0 } })
    const bearer = `Bearer ${registry.accessToken('alice', 'acme/app')}`
    const answer = await call(`${registry.url}/v2/acme/app/tags/list`, bearer)
    expect(answer.challenge).toContain('error="invalid_token"')
  })

  test('exchanges identity tokens and passwords for tokens (OAuth2)', async () => {
    const { registry, url } = await started({ kind: 'bearer', users: USERS })
    await using _ = registry
    const scope = 'repository:acme/app:pull'
    const offline = await call(`${registry.url}/token?offline_token=true&scope=${scope}`, BASIC)
    for (const refresh_token of [
      registry.identityToken('alice'),
      String(offline.body?.refresh_token),
    ]) {
      const fields = { grant_type: 'refresh_token', refresh_token, scope }
      const { status, body } = await grant(registry.url, fields)
      expect([status, body.refresh_token]).toEqual([200, refresh_token])
      expect((await call(url, `Bearer ${body.access_token}`)).status).toBe(200)
    }
    const login = { grant_type: 'password', username: 'alice', password: 'wonder', scope }
    const { body } = await grant(registry.url, login)
    expect((await call(url, `Bearer ${body.access_token}`)).status).toBe(200)
    for (const fields of [
      { ...login, password: 'guess' },
      { grant_type: 'refresh_token', refresh_token: 'x', scope },
    ]) {
      expect((await grant(registry.url, fields as Record<string, string>)).status).toBe(401)
    }
  })

  test('serves tokens from a port of their own, and faults reach them there', async () => {
    const auth = { kind: 'bearer', users: USERS, separateTokenServer: true } as const
    const { registry, url } = await started(auth)
    await using _ = registry
    const realm = /realm="([^"]*)"/.exec(String((await call(url)).challenge))?.[1]
    expect(new URL(String(realm)).host).not.toBe(registry.host)
    expect((await call(`${realm}?scope=repository:acme/app:pull`, BASIC)).status).toBe(200)
    registry.fault({ path: '/token', times: 1 }, { kind: 'status', status: 503 })
    expect((await call(String(realm), BASIC)).status).toBe(503)
    expect(registry.count('GET', '/token')).toBe(2)
  })

  test('spends no fault on a request that is only challenged', async () => {
    const { registry, url } = await started({ kind: 'bearer', users: USERS })
    await using _ = registry
    registry.fault({ path: '/v2/*', times: 1 }, { kind: 'status', status: 503 })
    expect((await call(url)).status).toBe(401)
    const bearer = `Bearer ${registry.accessToken('alice', 'acme/app')}`
    expect((await call(url, bearer)).status).toBe(503)
    expect((await call(url, bearer)).status).toBe(200)
  })

  test('mounts only from a repository that the token may pull from', async () => {
    const { registry } = await started({ kind: 'bearer', users: USERS })
    await using _ = registry
    const digest = [...BUILT.blobs.keys()].at(-1)
    const token = registry.accessToken('alice', 'acme/copy', ['pull', 'push'])
    const { statusCode } = await request(
      `${registry.url}/v2/acme/copy/blobs/uploads/?mount=${digest}&from=acme/app`,
      { method: 'POST', headers: { authorization: `Bearer ${token}` } },
    )
    expect(statusCode).toBe(202)
  })
})
