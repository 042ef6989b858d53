import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'
import type { ServiceAccount } from '../../../common/kubernetes/service-account.ts'
import { isJsonObject, type JsonObject, objectsAt, textAt } from '../../../webhook/json.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** One request that an {@link ObjectServer} answered, e.g. `PATCH /api/v1/namespaces/oras-csi/secrets/webhook`. */
export type Call = string

/** The API server's side of reading and patching objects: with a token, and resource versions. Disposing ends it. */
export interface ObjectServer extends AsyncDisposable {
  /** A directory of its own: tests write other files there. */
  readonly account: ServiceAccount
  /** By path; tests read them, and put others in their place. */
  readonly objects: Map<string, JsonObject>
  readonly calls: readonly Call[]
  /** Called before a request is answered. */
  before: (call: Call) => void
}

const TOKEN = 'account-token'

/** Starts to serve objects over TLS. */
export async function startObjectServer(
  first: Readonly<Record<string, JsonObject>>,
): Promise<ObjectServer> {
  const authority = await createCertificateAuthority()
  const directory = await temporaryDirectory()
  await writeFile(directory.file('ca.crt'), authority.cert)
  await writeFile(directory.file('token'), `${TOKEN}\n`)
  const objects = new Map(Object.entries(first))
  const calls: Call[] = []
  const pair = await authority.issue({ names: ['127.0.0.1'] })
  const server = createServer({ cert: pair.cert, key: pair.key }, async (request, response) => {
    const path = request.url ?? ''
    const call = `${request.method} ${path}`
    running.before(call)
    calls.push(call)
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    const body = await text(request)
    const object = objects.get(path)
    if (request.headers.authorization !== `Bearer ${TOKEN}`)
      return answer(401, failure('Unauthorized'))
    if (object === undefined) return answer(404, failure(`${path} not found`))
    if (request.method !== 'PATCH') return answer(200, object)
    const change: JsonObject = JSON.parse(body)
    const strategic = request.headers['content-type'] === 'application/strategic-merge-patch+json'
    const version = versionOf(change)
    if (version !== undefined && version !== versionOf(object)) {
      return answer(409, failure('the object has been modified'))
    }
    const next = merged(object, change, strategic)
    const metadata = { ...Object(next['metadata']), resourceVersion: `${calls.length + 100}` }
    objects.set(path, { ...next, metadata })
    answer(200, objects.get(path))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  const running: ObjectServer = {
    account: { url: `https://127.0.0.1:${port}`, directory: directory.path },
    objects,
    calls,
    before: () => {},
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await directory[Symbol.asyncDispose]()
    },
  }
  return running
}

function failure(message: string): JsonObject {
  return { kind: 'Status', message }
}

function versionOf({ metadata }: JsonObject): string | undefined {
  return isJsonObject(metadata) ? textAt(metadata, 'resourceVersion') : undefined
}

/** RFC 7396, or with lists merged by `name`. */
function merged(object: JsonObject, change: JsonObject, strategic: boolean): JsonObject {
  const next: Record<string, unknown> = { ...object }
  for (const [key, value] of Object.entries(change)) {
    const before = object[key]
    if (isJsonObject(value)) {
      next[key] = merged(isJsonObject(before) ? before : {}, value, strategic)
    } else if (strategic && Array.isArray(value)) {
      next[key] = objectsAt(object, key).map((element) => {
        const found = objectsAt(change, key).find(({ name }) => name === element['name'])
        return found === undefined ? element : merged(element, found, strategic)
      })
    } else next[key] = value
  }
  return next
}
