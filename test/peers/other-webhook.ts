import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { text } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import { portOf } from '../../common/listening.ts'
import { type JsonObject, objectAt } from '../../webhook/json.ts'
import { objectIn } from '../manifests/manifest-objects.ts'
import { createIdentity, type Reachable, type RealWebhookOptions } from './real-webhook.ts'

/** A request as another webhook was sent it. */
export interface SeenRequest {
  /** What the client offered while it connected. */
  readonly offered: readonly string[]
  /** What was chosen of it. */
  readonly protocol: unknown
  readonly httpVersion: string
  readonly method: string
  /** With the query. */
  readonly url: string
  readonly headers: Readonly<Record<string, unknown>>
  /** The client's: one for each connection. */
  readonly clientPort: number | undefined
  readonly review: JsonObject
}

/** Another webhook than ours. */
export interface OtherWebhook extends Reachable {
  readonly port: number
  readonly seen: readonly SeenRequest[]
  /** Forgets what it has seen, and from now on answers so. */
  answer(answer: OtherAnswer): void
}

/** Gives the JSON Patch for an object: nothing by default. */
export type OtherAnswer = (object: JsonObject) => readonly object[]

/** Starts a webhook of somebody else: it speaks HTTP/2 and HTTP/1.1, allows all it is asked, and keeps what it saw. */
export async function startOtherWebhook(
  options: Pick<RealWebhookOptions, 'address' | 'identity'> = {},
): Promise<OtherWebhook> {
  const { address = '127.0.0.1' } = options
  const { ca, pair } = options.identity ?? (await createIdentity([address]))
  const seen: SeenRequest[] = []
  let answer: OtherAnswer = () => []
  let offered: readonly string[] = []
  const server = createSecureServer(
    {
      ...pair,
      allowHTTP1: true,
      ALPNCallback: ({ protocols }) => {
        offered = protocols
        return protocols.includes('h2') ? 'h2' : protocols[0]
      },
    },
    async (request, response) => {
      const review: JsonObject = JSON.parse(await text(request))
      const { socket } = request
      seen.push({
        offered,
        // Of a connection over TLS, which HTTP/2 hides behind a proxy.
        protocol: Reflect.get(socket, 'alpnProtocol'),
        httpVersion: request.httpVersion,
        method: request.method,
        url: request.url,
        headers: { ...request.headers },
        clientPort: socket.remotePort,
        review,
      })
      const asked = objectIn(review, 'request')
      const patch = answer(objectAt(asked, 'object') ?? {})
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({
          apiVersion: review['apiVersion'],
          kind: review['kind'],
          response: {
            uid: asked['uid'],
            allowed: true,
            ...(patch.length > 0 && {
              patchType: 'JSONPatch',
              patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
            }),
          },
        }),
      )
    },
  )
  const sockets = new Set<TLSSocket>()
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, address)
  await once(server, 'listening')
  const port = portOf(server.address())
  return {
    url: `https://${address}:${port}`,
    port,
    ca,
    seen,
    answer: (next) => {
      seen.length = 0
      answer = next
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
