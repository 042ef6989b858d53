import { fastify } from 'fastify'
import type { ListenAddress } from '../common/flags.ts'
import { listenOn, portOf } from '../common/listening.ts'
import type { Logger } from '../common/log.ts'
import type { Certificate } from './certificate.ts'
import type { Answer } from './review.ts'

/** Serves admission reviews over TLS. */
export interface AdmissionServer extends AsyncDisposable {
  readonly port: number
  /** Takes another certificate for new connections; open ones stay. */
  useCertificate(certificate: Certificate): void
  /** From now on each answer closes its connection, so that clients go elsewhere; new ones are still served. */
  drain(): void
}

// The API server keeps idle connections for about 90 s: who closes first must be the API server, or it sees random EOFs.
const KEEP_ALIVE_TIMEOUT_MS = 120_000

// A review is at most 3 MiB of pod, escaped; the API server's own limit for a request is 3 MiB.
const BODY_LIMIT_BYTES = 8 * 1024 * 1024

// The API server gives a review 5 s; this is for clients that send slowly to hold connections.
const REQUEST_TIMEOUT_MS = 30_000

/**
 * Starts to serve `POST /mutate`.
 *
 * Errors are answered as `{"message": ...}`, without a stack; the detail of a bug goes to the log. Disposing stops
 * listening, waits for running requests and closes idle connections.
 *
 * @param options.review answers a parsed body
 */
export async function startAdmissionServer(options: {
  readonly listen: ListenAddress
  readonly certificate: Certificate
  readonly review: (document: unknown) => Answer
  readonly log: Logger
}): Promise<AdmissionServer> {
  const { certificate, log } = options
  let draining = false
  const app = fastify({
    https: { cert: certificate.cert, key: certificate.key, minVersion: 'TLSv1.2' },
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    bodyLimit: BODY_LIMIT_BYTES,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  })
  // The parser that comes with fastify refuses bodies with a key "__proto__", which a volume attribute may have.
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body.toString()))
    } catch {
      done(Object.assign(new Error('The body is not valid JSON'), { statusCode: 400 }))
    }
  })
  app.addHook('onSend', async (_request, reply) => {
    if (draining) reply.header('connection', 'close')
  })
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ message: `No such path: ${request.method} ${pathOf(request.url)}` }),
  )
  app.setErrorHandler((error, _request, reply) => {
    const status = statusOf(error)
    if (status < 500) {
      log.warn({ status, reason: messageOf(error) }, 'request refused')
      return reply.code(status).send({ message: messageOf(error) })
    }
    log.error({ error, status }, 'request failed')
    return reply.code(status).send({ message: 'Internal error: the log has the detail' })
  })
  app.post('/mutate', (request, reply) => {
    const answer = options.review(request.body)
    return reply.code(answer.status).send(answer.body)
  })
  const port = await listenOn(options.listen, async (address) => {
    await app.listen(address)
    return portOf(app.server.address())
  })
  return {
    port,
    useCertificate: ({ cert, key }) =>
      app.server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' }),
    drain: () => {
      draining = true
    },
    [Symbol.asyncDispose]: () => app.close(),
  }
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]?.slice(0, 100) ?? ''
}

function statusOf(error: unknown): number {
  const known = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof known === 'number' && known >= 400 && known < 600 ? known : 500
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'Bad request'
}
