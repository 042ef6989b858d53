import { writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'
import jsonPatch from 'fast-json-patch'
import { createCertificateAuthority } from './certificates.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** A request as it came. */
export interface ApiCall {
  readonly method: string
  readonly path: string
  readonly token: string | undefined
  readonly contentType: string | undefined
  /** As written. */
  readonly text: string
}

/** What a faulty API server does instead of its work. */
export type Fault =
  | { readonly status: number; readonly message: string; readonly retryAfterSeconds?: number }
  /** Never answers. */
  | 'hang'
  /** Closes the connection. */
  | 'close'
  /** Does its work, sends half an answer, and closes. */
  | 'half'
  /** Says something that is no JSON. */
  | 'nonsense'

/** An event as it is stored, core/v1. */
export interface StoredEvent {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly involvedObject: Readonly<Record<string, string>>
  readonly type: string
  readonly reason: string
  readonly message: string
  readonly count: number
  readonly firstTimestamp: string
  readonly lastTimestamp: string
  readonly [field: string]: unknown
}

/** A Kubernetes API server as far as the driver calls it: events and nodes, over TLS, with a token. Disposing ends it. */
export interface ApiImitation extends AsyncDisposable {
  readonly url: string
  /** A service account's directory: `token` and `ca.crt`. */
  readonly accountDirectory: string
  /** What Kubernetes tells every pod. */
  readonly env: Readonly<Record<string, string>>
  /** By path. */
  readonly objects: Map<string, unknown>
  readonly calls: readonly ApiCall[]
  /** The events stored, the oldest first. */
  events(): readonly StoredEvent[]
  /** Asked before a call is answered; undefined: it works. */
  fault: (call: ApiCall) => Fault | undefined
  /** Tokens that are accepted from now on; the first is put into the directory. */
  useToken(token: string): Promise<void>
}

/** Starts it. */
export async function startApiImitation(): Promise<ApiImitation> {
  await using stack = new AsyncDisposableStack()
  const authority = await createCertificateAuthority()
  const { cert, key } = await authority.issue({ names: ['127.0.0.1'] })
  const directory = stack.use(await temporaryDirectory())
  await writeFile(directory.file('ca.crt'), authority.cert)
  const objects = new Map<string, unknown>()
  const calls: ApiCall[] = []
  let token = ''

  const server = createServer({ cert, key }, (request, response) => {
    // A client that goes away in the middle is one of the cases.
    void answer(request, response).catch(() => response.destroy())
  })
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url: path = '', headers } = request
    const call: ApiCall = {
      ...{ method, path, text: await text(request) },
      token: headers.authorization?.replace('Bearer ', ''),
      contentType: headers['content-type'],
    }
    calls.push(call)
    const say = (status: number, body: unknown, more: Record<string, string> = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...more })
      response.end(JSON.stringify(body))
    }
    const fault = api.fault(call)
    if (fault === 'hang') return
    if (fault === 'close') return void response.destroy()
    if (fault === 'nonsense') return void response.writeHead(200).end('<html>')
    if (fault === 'half') {
      serve(objects, call)
      response.writeHead(200, { 'content-length': '1000' })
      response.write('{"kind":')
      return void setImmediate(() => response.destroy())
    }
    if (fault !== undefined) {
      const { status, message, retryAfterSeconds } = fault
      const retryAfter = retryAfterSeconds?.toString()
      return say(status, failure(message), retryAfter ? { 'retry-after': retryAfter } : {})
    }
    if (call.token !== token) return say(401, failure('Unauthorized'))
    const { status, body } = serve(objects, call)
    say(status, body)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stack.defer(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  const port = String(address !== null && typeof address === 'object' ? address.port : 0)
  const useToken = async (next: string) => {
    token = next
    await writeFile(directory.file('token'), `${next}\n`)
  }
  await useToken('first-token')
  const made = stack.move()
  const api: ApiImitation = {
    url: `https://127.0.0.1:${port}`,
    accountDirectory: directory.path,
    env: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port },
    ...{ objects, calls, useToken },
    events: () =>
      [...objects].flatMap(([path, object]) =>
        path.includes('/events/') ? [object as StoredEvent] : [],
      ),
    fault: () => undefined,
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
  return api
}

function serve(objects: Map<string, unknown>, call: ApiCall): { status: number; body: unknown } {
  const { method, path } = call
  if (method === 'POST') {
    const event: StoredEvent = JSON.parse(call.text)
    const wrong = whyInvalid(event, path)
    if (wrong !== undefined) return { status: 422, body: failure(wrong) }
    const place = `${path}/${event.metadata.name}`
    if (objects.has(place)) return { status: 409, body: failure('already exists') }
    objects.set(place, event)
    return { status: 201, body: event }
  }
  const object = objects.get(path)
  if (object === undefined) return { status: 404, body: failure(`${path} not found`) }
  if (method === 'GET') return { status: 200, body: object }
  if (method !== 'PATCH') return { status: 405, body: failure('Method not allowed') }
  const next = patched(object, call)
  if (next === undefined) {
    return { status: 422, body: failure('the server rejected our request due to an error in it') }
  }
  objects.set(path, next)
  return { status: 200, body: next }
}

function patched(object: unknown, { contentType, text }: ApiCall): unknown {
  const change = JSON.parse(text)
  if (contentType === 'application/merge-patch+json') return { ...(object as object), ...change }
  if (contentType !== 'application/json-patch+json') return undefined
  try {
    return jsonPatch.applyPatch(structuredClone(object), change, true).newDocument
  } catch {
    return undefined
  }
}

/** What the API server checks of a core/v1 event without eventTime, and of every object's name. */
function whyInvalid(event: StoredEvent, path: string): string | undefined {
  const { metadata, involvedObject } = event
  if (!/^\/api\/v1\/namespaces\/[^/]+\/events$/.test(path)) return 'not events'
  if (!path.includes(`/namespaces/${metadata.namespace}/`)) return 'metadata.namespace'
  if (involvedObject['namespace'] !== metadata.namespace) return 'involvedObject.namespace'
  if (metadata.name.length > 253) return 'metadata.name: too long'
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(metadata.name)) return 'metadata.name'
  if (Number.isNaN(Date.parse(event.firstTimestamp))) return 'firstTimestamp'
  return undefined
}

function failure(message: string): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', message }
}
