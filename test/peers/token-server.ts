import { randomUUID, sign, X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createCertificateAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { type TokenAuth, USER } from './docker-registry.ts'

/** A token service for Debian's docker-registry, which checks what it signs. */
export interface TokenServer extends AsyncDisposable {
  /** What the registry has to be told. */
  readonly auth: TokenAuth
  /** What a client keeps after a login. */
  readonly refreshToken: string
  /** Signs an access token for a repository. */
  issue(repository: string): string
  /** How the tokens were asked for, e.g. `GET basic`, `POST refresh_token`. */
  readonly requests: readonly string[]
}

const SERVICE = 'registry.test'
const ISSUER = 'issuer.test'
const LIFETIME_S = 300

/**
 * Starts a token service on loopback that knows {@link USER}, by password (GET) and by refresh token (POST). Who comes without either gets
 * a token that is good for nothing, as from Docker Hub.
 *
 * @see https://distribution.github.io/distribution/spec/auth/jwt/
 */
export async function startTokenServer(): Promise<TokenServer> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const authority = await createCertificateAuthority()
  const { key, cert } = await authority.issue({ names: [ISSUER] })
  const bundle = directory.file('roots.pem')
  await writeFile(bundle, authority.cert)
  const refreshToken = randomUUID()
  const requests: string[] = []

  const issue = (repository: string, actions: readonly string[] = ['pull']): string => {
    const nowS = Math.floor(Date.now() / 1_000)
    const x5c = [new X509Certificate(cert).raw.toString('base64')]
    const claims = {
      iss: ISSUER,
      sub: USER.username,
      aud: SERVICE,
      exp: nowS + LIFETIME_S,
      nbf: nowS - LIFETIME_S,
      iat: nowS,
      jti: randomUUID(),
      access: [{ type: 'repository', name: repository, actions }],
    }
    const text = [{ typ: 'JWT', alg: 'ES256', x5c }, claims].map(encode).join('.')
    const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' })
    return `${text}.${signature.toString('base64url')}`
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://token.test')
    const form = new URLSearchParams(await bodyOf(request))
    const basic = request.headers.authorization?.replace(/^Basic /, '')
    requests.push(
      `${request.method} ${form.get('grant_type') ?? (basic === undefined ? 'anonymous' : 'basic')}`,
    )
    const isUser =
      basic === Buffer.from(`${USER.username}:${USER.password}`).toString('base64') ||
      form.get('refresh_token') === refreshToken
    const scope = url.searchParams.get('scope') ?? form.get('scope') ?? ''
    const [, repository = '', actions = ''] = /^repository:(.+):(.+)$/.exec(scope) ?? []
    if (!isUser && (basic !== undefined || request.method === 'POST')) {
      response.writeHead(401).end('{"error":"invalid_grant"}')
      return
    }
    const granted = isUser ? actions.split(',') : []
    const token = issue(repository, granted)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ token, access_token: token, expires_in: LIFETIME_S }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stack.defer(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const running = stack.move()
  return {
    auth: {
      realm: `http://127.0.0.1:${port}/token`,
      service: SERVICE,
      issuer: ISSUER,
      rootcertbundle: bundle,
    },
    refreshToken,
    issue,
    requests,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
