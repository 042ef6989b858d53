import { Agent, request } from 'undici'
import { CodedError, type ErrorCode, messageOf } from '../../common/errors.ts'
import { isJsonObject, type JsonObject, textAt } from '../json.ts'

/** The few calls of the Kubernetes API that are needed. Disposing closes its connections. */
export interface ClusterApi extends AsyncDisposable {
  /**
   * Reads an object; `path` is e.g. `/api/v1/namespaces/oras-csi/secrets/webhook`.
   *
   * @throws NOT_FOUND, DENIED, UNAVAILABLE
   */
  get(path: string): Promise<JsonObject>
  /**
   * Changes some fields of an object.
   *
   * @param type how lists are treated: `merge` replaces them, `strategic` changes their elements by name
   * @throws NOT_FOUND, DENIED, UNAVAILABLE; CONFLICT when the change names another `resourceVersion` than the object has
   */
  patch(path: string, type: 'merge' | 'strategic', change: JsonObject): Promise<void>
}

/** Where the API server is, and who asks. */
export interface ClusterAccess {
  /** e.g. `https://10.96.0.1:443` */
  readonly url: string
  /** PEM. */
  readonly ca: string
  /** Of a service account. */
  readonly token: string
}

/** The API server answers a small object in milliseconds; a Job is tried again. */
const TIMEOUT_MS = 20_000

/** Opens the API of a cluster; nothing is sent yet. */
export function openClusterApi(access: ClusterAccess): ClusterApi {
  const agent = new Agent({
    connect: { ca: access.ca },
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
  })
  const call = async (method: 'GET' | 'PATCH', path: string, type: string, body?: string) => {
    const what = `${method === 'GET' ? 'read' : 'change'} "${path}"`
    try {
      const answer = await request(new URL(path, access.url), {
        method,
        dispatcher: agent,
        headers: {
          authorization: `Bearer ${access.token}`,
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': `application/${type}+json` }),
        },
        ...(body !== undefined && { body }),
      })
      const document: unknown = JSON.parse(await answer.body.text())
      const object = isJsonObject(document) ? document : {}
      if (answer.statusCode < 300) return object
      const said = textAt(object, 'message') ?? 'no message'
      throw new CodedError(
        codeOf(answer.statusCode),
        `Cannot ${what}: the API server answered ${answer.statusCode}: ${said}`,
      )
    } catch (cause) {
      if (cause instanceof CodedError) throw cause
      throw new CodedError('UNAVAILABLE', `Cannot ${what}: ${messageOf(cause)}`, { cause })
    }
  }
  return {
    get: (path) => call('GET', path, ''),
    patch: async (path, type, change) => {
      const media = type === 'merge' ? 'merge-patch' : 'strategic-merge-patch'
      await call('PATCH', path, media, JSON.stringify(change))
    },
    [Symbol.asyncDispose]: () => agent.close(),
  }
}

function codeOf(status: number): ErrorCode {
  switch (status) {
    case 401:
    case 403:
      return 'DENIED'
    case 404:
      return 'NOT_FOUND'
    case 409:
      return 'CONFLICT'
    default:
      return 'UNAVAILABLE'
  }
}
