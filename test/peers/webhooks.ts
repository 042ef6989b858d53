import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { text } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import { isJsonObject, type JsonObject, objectsAt } from '../../webhook/json.ts'
import { objectIn, objectNamed, readBase } from '../manifests/manifest-objects.ts'
import { createCertificateAuthority, type KeyPair } from '../support/certificates.ts'
import { type ChildProcess, type OutputLine, startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { mountSecret } from '../webhook/serving-certificate.ts'
import type { KubernetesApi } from './kubernetes-api.ts'

/** A webhook on this machine. Disposing ends it. */
export interface Reachable extends AsyncDisposable {
  /** e.g. `https://127.0.0.1:41233` */
  readonly url: string
  /** PEM. */
  readonly ca: string
}

/** Our webhook, as a process of its own. */
export interface RealWebhook extends Reachable {
  readonly port: number
  /** e.g. `http://127.0.0.1:41234` */
  readonly healthUrl: string
  readonly process: ChildProcess
  /** What it logged of the reviews it answered. */
  reviews(): readonly Readonly<Record<string, unknown>>[]
}

/** A certificate for webhooks that stand in for one another, and its authority. */
export interface Identity {
  /** PEM. */
  readonly ca: string
  readonly pair: KeyPair
}

/** Makes a certificate for an address on this machine. */
export async function createIdentity(): Promise<Identity> {
  const authority = await createCertificateAuthority()
  return { ca: authority.cert, pair: await authority.issue({ names: ['127.0.0.1'] }) }
}

/** Starts the real webhook, with more flags if need be, e.g. `--shutdown-grace=2s`. */
export async function startRealWebhook(
  flags: readonly string[] = [],
  identity?: Identity,
): Promise<RealWebhook> {
  await using stack = new AsyncDisposableStack()
  const { ca, pair } = identity ?? (await createIdentity())
  const directory = stack.use(await temporaryDirectory())
  await mountSecret(directory.path, pair)
  const webhook = stack.use(
    startProcess({
      args: [
        'webhook/main.ts',
        '--listen=127.0.0.1:0',
        '--health-listen=127.0.0.1:0',
        `--certificate-directory=${directory.path}`,
        ...flags,
      ],
    }),
  )
  const { json } = await webhook.waitForLine(withMessage('serving'), 60_000)
  const port = Number(json?.['port'])
  const running = stack.move()
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    healthUrl: `http://127.0.0.1:${json?.['healthPort']}`,
    ca,
    process: webhook,
    reviews: () => webhook.lines.filter(withMessage('review')).map(lineObject),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function lineObject({ json }: OutputLine): Readonly<Record<string, unknown>> {
  return json ?? {}
}

/** Applies a webhook configuration of the base, but with an address on this machine; disposing removes it. */
export async function configured(
  { kubectl }: KubernetesApi,
  kind: 'MutatingWebhookConfiguration' | 'ValidatingWebhookConfiguration',
  { url, ca }: Pick<Reachable, 'url' | 'ca'>,
  /** Default `oras-csi`; mutating webhooks are called in the order of these names. */
  name = 'oras-csi',
): Promise<AsyncDisposable> {
  const configuration = objectNamed(await readBase(), `${kind} oras-csi`)
  const caBundle = Buffer.from(ca).toString('base64')
  const webhooks = objectsAt(configuration, 'webhooks').map((webhook) => {
    const { path } = objectIn(webhook, 'clientConfig', 'service')
    return { ...webhook, clientConfig: { url: `${url}${path}`, caBundle } }
  })
  await kubectl.apply([{ ...configuration, metadata: { name }, webhooks }])
  return {
    [Symbol.asyncDispose]: async () => {
      await kubectl.run('delete', kind, name)
    },
  }
}

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
  readonly seen: readonly SeenRequest[]
  /** Forgets what it has seen, and from now on answers so. */
  answer(answer: OtherAnswer): void
}

/** Gives the JSON Patch for an object: nothing by default. */
export type OtherAnswer = (object: JsonObject) => readonly object[]

/** Starts a webhook of somebody else: it speaks HTTP/2 and HTTP/1.1, allows all it is asked, and keeps what it saw. */
export async function startOtherWebhook(): Promise<OtherWebhook> {
  const { ca, pair } = await createIdentity()
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
      const object = isJsonObject(objectIn(review, 'request')['object'])
        ? objectIn(review, 'request', 'object')
        : {}
      const patch = answer(object)
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({
          apiVersion: review['apiVersion'],
          kind: review['kind'],
          response: {
            uid: objectIn(review, 'request')['uid'],
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
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  return {
    url: `https://127.0.0.1:${address.port}`,
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
