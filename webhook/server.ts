import { once } from 'node:events'
import { createServer } from 'node:https'
import { promisify } from 'node:util'
import type { ListenAddress } from '../common/flags.ts'
import { listenOn } from '../common/listening.ts'
import type { Logger } from '../common/log.ts'
import type { Certificate } from './certificate.ts'
import { createConnectionRoom } from './connection-room.ts'
import { createRequestHandler, type Reviewers } from './request-handler.ts'
import type { ServerObserver } from './webhook-metrics.ts'

/** Serves admission reviews over TLS. */
export interface AdmissionServer extends AsyncDisposable {
  readonly port: number
  /** Takes another certificate for new connections; open ones stay. */
  useCertificate(certificate: Certificate): void
  /** From now on each answer closes its connection, so that clients go elsewhere; new ones are still served. */
  drain(): void
  connections(): Promise<number>
}

/** What is asked of a server. */
export interface AdmissionServerOptions {
  readonly listen: ListenAddress
  readonly certificate: Certificate
  readonly reviewers: Reviewers
  readonly observer: ServerObserver
  readonly log: Logger
  readonly limits?: Partial<ServerLimits>
}

/** Against clients that hold connections, knowingly or not. */
export interface ServerLimits {
  /** The API server keeps idle connections for about 90 s: it must be the one that closes first, or it sees random EOFs. */
  readonly keepAliveMs: number
  /** For the TLS handshake, and again for the head of a request. */
  readonly headMs: number
  /** For a whole request, and for a client to read on; the API server gives a review 30 s at most. */
  readonly requestMs: number
  /** For more, older ones are closed. Each takes some 50 KiB. An API server has some 200 changes under way at most, each with a connection for its review. */
  readonly maxConnections: number
  /** How long requests that run are waited for at the end. */
  readonly closeMs: number
}

const LIMITS: ServerLimits = {
  keepAliveMs: 120_000,
  headMs: 15_000,
  requestMs: 30_000,
  maxConnections: 2_048,
  closeMs: 10_000,
}

// TLS 1.2 is the least that Kubernetes itself accepts. The API server speaks HTTP/1.1 with webhooks, for the sake of balancing: no other protocol is offered.
const TLS = { minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] } as const

/**
 * Starts to serve `POST` of reviews.
 *
 * Errors are answered as `{"message": ...}`, without a stack; the detail of a bug goes to the log. Disposing stops
 * listening, waits for running requests, for so long, and closes all connections.
 */
export async function startAdmissionServer(
  options: AdmissionServerOptions,
): Promise<AdmissionServer> {
  const { certificate, observer, log } = options
  const limits = { ...LIMITS, ...options.limits }
  let draining = false
  const handle = createRequestHandler({ ...options, isDraining: () => draining })
  const server = createServer(
    {
      ...{ cert: certificate.cert, key: certificate.key, ...TLS },
      handshakeTimeout: limits.headMs,
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.ceil(limits.headMs / 4),
    },
    (request, response) => {
      const { socket } = request
      room.waitsFor('answer', socket)
      response.once('close', () => room.waitsFor('request', socket))
      void handle(request, response)
    },
  )
  server.timeout = limits.requestMs
  const room = createConnectionRoom({
    maxConnections: limits.maxConnections,
    onDropped: () => observer.dropped(),
  })
  server.on('connection', (socket) => room.enter(socket))
  server.on('secureConnection', (socket) => room.waitsFor('request', socket))
  const connections = promisify(server.getConnections.bind(server))
  server.on('clientError', (error, socket) => {
    const code = 'code' in error ? String(error.code) : ''
    const status = CLIENT_ERRORS[code] ?? (code.startsWith('HPE_') ? 400 : undefined)
    log.debug({ status, error }, 'unreadable request')
    if (status !== undefined) observer.refused(status)
    // Whoever is not through the handshake could not be told, nor who is gone.
    if (status === undefined || !socket.writable) socket.destroy()
    else socket.end(`HTTP/1.1 ${status} \r\nConnection: close\r\n\r\n`, () => socket.destroy())
  })
  const port = await listenOn(server, options.listen)
  return {
    port,
    useCertificate: ({ cert, key }) => server.setSecureContext({ cert, key, ...TLS }),
    drain: () => {
      draining = true
    },
    connections,
    async [Symbol.asyncDispose]() {
      draining = true
      const closed = once(server, 'close')
      server.close()
      const timer = setTimeout(() => server.closeAllConnections(), limits.closeMs)
      await closed
      clearTimeout(timer)
    },
  }
}

const CLIENT_ERRORS: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
}
