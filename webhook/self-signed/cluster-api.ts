import { CodedError, type ErrorCode } from '../../common/errors.ts'
import type { ApiClient, ApiRequest } from '../../common/kubernetes/api-client.ts'
import { isJsonObject, type JsonObject } from '../json.ts'

/** The few calls of the Kubernetes API that are needed. */
export interface ClusterApi {
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

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const

/** Makes the calls over a client, which stays its owner's; every answer but a success is an error. */
export function createClusterApi(client: Pick<ApiClient, 'send'>, signal: AbortSignal): ClusterApi {
  const call = async (asked: ApiRequest): Promise<JsonObject> => {
    const { status, body, message } = await client.send(asked, signal)
    if (status < 300 && isJsonObject(body)) return body
    const what = `${asked.method === 'GET' ? 'read' : 'change'} "${asked.path}"`
    throw new CodedError(
      codeOf(status),
      `Cannot ${what}: the API server answered ${status}: ${message}`,
    )
  }
  return {
    get: (path) => call({ method: 'GET', path }),
    async patch(path, type, change) {
      await call({ method: 'PATCH', path, contentType: PATCH_TYPES[type], body: change })
    },
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
