import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Digest } from '../../common/oci/digest.ts'
import { type Answer, errorAnswer } from './registry/answer.ts'
import { type Action, createAuthority, type RegistryAuth } from './registry/authority.ts'
import { type Content, digestOfContent } from './registry/content.ts'
import { deliver } from './registry/deliver.ts'
import {
  type ActiveFault,
  createFaults,
  type Fault,
  type FaultMatch,
  PLAIN_DELIVERY,
} from './registry/faults.ts'
import type { Gate } from './registry/gate.ts'
import {
  type LoggedRequest,
  logRequest,
  matchesPath,
  type OpenRequest,
  type PathPattern,
} from './registry/request-log.ts'
import { actionOf, parseTarget, route } from './registry/routes.ts'
import { createStore } from './registry/store.ts'

/** What a registry is to be. */
export interface RegistryOptions {
  /** PEM; plain HTTP when absent. With `clientCa`, clients must show a certificate of that authority. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly clientCa?: string }
  /** Default `none`. */
  readonly auth?: RegistryAuth
  /** Default 0: any free port. */
  readonly port?: number
  /** Where it listens; default `127.0.0.1`. */
  readonly address?: string
  /** What clients call it, in {@link TestRegistry.host} and in challenges; default the address. */
  readonly hostname?: string
}

/**
 * An OCI registry (distribution-spec 1.1, pull and push) over real HTTP or HTTPS, in memory. Disposing closes every connection and
 * releases every gate.
 */
export interface TestRegistry extends AsyncDisposable {
  /** e.g. `127.0.0.1:40123`: the first part of a reference. */
  readonly host: string
  /** e.g. `http://127.0.0.1:40123`, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Every request, oldest first, those of the token endpoint too. */
  readonly requests: readonly LoggedRequest[]
  /** How many connections were accepted so far, the token server's too. */
  readonly connections: number
  /** Counts logged requests; `method` undefined counts any. */
  count(method?: string, path?: PathPattern): number
  /** Forgets the requests so far. */
  clearRequests(): void
  /** Makes matching requests go wrong from now on. Several faults may hit one request. */
  fault(match: FaultMatch, fault: Fault): ActiveFault
  /**
   * Holds matching requests until the gate is released: before they are answered or, with `afterBytes`, when so many bytes of the
   * body were sent. So a test waits for "a pull in mid-flight" without sleeping.
   */
  hold(match: FaultMatch & { readonly afterBytes?: number }): Gate
  /** Puts a blob into a repository without HTTP, e.g. a generated one, and gives its digest. */
  addBlob(repository: string, content: Content): Digest
  /** Points a tag to a manifest without HTTP. */
  addManifest(repository: string, tag: string, mediaType: string, bytes: Uint8Array): void
  /** Removes a tag, a manifest or a blob (by digest). */
  remove(repository: string, reference: string): boolean
  /** Makes a refresh token for a user. */
  identityToken(user: string): string
  /** Makes an access token for a user and a repository. */
  accessToken(user: string, repository: string, actions?: readonly Action[]): string
  /** Makes every access token invalid that was handed out. */
  expireTokens(): void
}

const TOKEN_PATH = '/token'

/** Starts a registry on loopback. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const auth = options.auth ?? 'none'
  const store = createStore()
  const faults = createFaults()
  const requests: OpenRequest[] = []
  const authority = createAuthority(auth, () => `${tokenServer.url}${TOKEN_PATH}`)

  const apiAnswer = async (request: IncomingMessage, url: URL): Promise<Answer> =>
    route(store, parseTarget(url.pathname), {
      method: request.method ?? '',
      query: url.searchParams,
      accept: request.headers.accept,
      contentType: request.headers['content-type'],
      contentRange: request.headers['content-range'],
      body: () => readBody(request),
      mayPull: (repository) =>
        authority.check({
          authorization: request.headers.authorization,
          repository,
          action: 'pull',
        }) === undefined,
    })
  const tokenAnswer = async (request: IncomingMessage, url: URL): Promise<Answer> =>
    authority.token({
      method: request.method ?? '',
      query: url.searchParams,
      form: new URLSearchParams((await readBody(request)).toString()),
      authorization: request.headers.authorization,
    })
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://registry.test')
    const logged = logRequest(request, response, url)
    requests.push(logged)
    const isToken = url.pathname === TOKEN_PATH
    const target = parseTarget(url.pathname)
    const refused = isToken
      ? undefined
      : authority.check({
          authorization: request.headers.authorization,
          repository: 'repository' in target ? target.repository : undefined,
          action: actionOf(logged.method),
        })
    if (refused !== undefined) return deliver(response, logged, refused, PLAIN_DELIVERY)
    const before = await faults.before(logged)
    if (before === 'disconnect') {
      request.socket.destroy()
      return
    }
    if (before !== 'route') return deliver(response, logged, before, PLAIN_DELIVERY)
    const plain = await (isToken ? tokenAnswer(request, url) : apiAnswer(request, url))
    const { answer, delivery } = faults.after(logged, plain)
    return deliver(response, logged, answer, delivery)
  }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    serve(request, response).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) {
        response.destroy()
        return
      }
      const answer = errorAnswer(500, 'UNSUPPORTED', `bug in the test registry: ${String(error)}`)
      deliver(
        response,
        logRequest(request, response, new URL('http://x/')),
        answer,
        PLAIN_DELIVERY,
      ).catch(() => response.destroy())
    })
  }

  const api = await listen(listener, options, options.port ?? 0)
  const separate = auth !== 'none' && auth.kind === 'bearer' && auth.separateTokenServer === true
  const tokenServer = separate ? await listen(listener, options, 0) : api
  return {
    host: api.host,
    url: api.url,
    port: api.port,
    requests,
    get connections() {
      return api.connections() + (separate ? tokenServer.connections() : 0)
    },
    count: (method, path) =>
      requests.filter(
        (request) =>
          (method === undefined || request.method === method) &&
          (path === undefined || matchesPath(path, request.path)),
      ).length,
    clearRequests: () => {
      requests.length = 0
    },
    fault: faults.set,
    hold: faults.hold,
    addBlob: (repository, content) => {
      const digest = digestOfContent(content)
      store.addBlob(repository, digest, content)
      return digest
    },
    addManifest: (repository, tag, mediaType, bytes) => {
      store.addManifest(repository, tag, {
        mediaType,
        bytes,
        digest: digestOfContent({ size: bytes.length, slice: (a, b) => bytes.subarray(a, b) }),
      })
    },
    remove: (repository, reference) =>
      store.removeManifest(repository, reference) || store.removeBlob(repository, reference),
    identityToken: authority.identityToken,
    accessToken: (user, repository, actions = ['pull']) =>
      authority.accessToken(user, repository, actions),
    expireTokens: authority.expireTokens,
    [Symbol.asyncDispose]: async () => {
      faults[Symbol.dispose]()
      await Promise.all([api.close(), ...(separate ? [tokenServer.close()] : [])])
    },
  }
}

interface Listening {
  readonly host: string
  readonly url: string
  readonly port: number
  connections(): number
  close(): Promise<void>
}

async function listen(
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  options: RegistryOptions,
  port: number,
): Promise<Listening> {
  const { tls, address = '127.0.0.1' } = options
  const server: Server =
    tls === undefined
      ? createHttpServer(listener)
      : createHttpsServer(
          {
            key: tls.key,
            cert: tls.cert,
            ...(tls.clientCa !== undefined && {
              ca: tls.clientCa,
              requestCert: true,
              rejectUnauthorized: true,
            }),
          },
          listener,
        )
  // A test that holds a request, or uploads slowly, decides itself how long that takes.
  server.requestTimeout = 0
  server.keepAliveTimeout = 60_000
  const sockets = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections += 1
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, resolve)
  })
  const actualPort = (server.address() as AddressInfo).port
  const name = options.hostname ?? (address.includes(':') ? `[${address}]` : address)
  return {
    host: `${name}:${actualPort}`,
    url: `${tls === undefined ? 'http' : 'https'}://${name}:${actualPort}`,
    port: actualPort,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        // Raw sockets, so that a connection in the middle of its TLS handshake is closed too.
        for (const socket of sockets) socket.destroy()
      }),
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}
