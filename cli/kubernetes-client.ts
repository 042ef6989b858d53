import { once } from 'node:events'
import { type IncomingMessage, request as sendHttp } from 'node:http'
import { request as sendHttps } from 'node:https'
import { CodedError, messageOf } from '../common/errors.ts'
import { isJsonObject, type JsonObject, textAt } from '../webhook/json.ts'
import { type KubernetesChoice, readKubeConfig } from './kubernetes-config.ts'
import { printable } from './printable.ts'

/** What the API server said, whatever it was. */
export interface KubernetesAnswer {
  readonly status: number
  /** Raw JSON: typed models drop the fields they do not know. */
  readonly body: JsonObject
  /** Of a failure: its words, as they came. */
  readonly message: string
}

/** An API server, called as the person whose kubeconfig it is. */
export interface KubernetesClient {
  /** e.g. `https://10.0.0.1:6443` */
  readonly server: string
  /** Of the kubeconfig. */
  readonly context: string
  /**
   * Asks once.
   *
   * @param path e.g. `/api/v1/nodes?limit=500`; names in it encoded
   * @param options.body makes it a POST
   * @throws UNAVAILABLE when there is no answer in time, UNAUTHENTICATED when the server does not know the person
   */
  send(
    path: string,
    options?: { readonly accept?: string; readonly body?: object },
  ): Promise<KubernetesAnswer>
}

/** The API server itself gives a call a minute. */
const TIMEOUT_MS = 60_000
/** A page of 500 objects of 100 KiB. */
const MAX_BYTES = 64 * 1024 ** 2

/**
 * Opens the cluster that a kubeconfig names. Nothing stays open after a call.
 *
 * @throws as {@link readKubeConfig}
 */
export async function openKubernetes(
  options: KubernetesChoice & { readonly signal: AbortSignal },
): Promise<KubernetesClient> {
  const config = await readKubeConfig(options)
  const server = config.getCurrentCluster()?.server.replace(/\/+$/, '') ?? ''
  return {
    server,
    context: config.getCurrentContext(),
    async send(path, { accept = 'application/json', body } = {}) {
      try {
        const url = new URL(server + path)
        const call = {
          method: body === undefined ? 'GET' : 'POST',
          headers: {
            ...{ accept, 'user-agent': 'oras-csi' },
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          signal: AbortSignal.any([options.signal, AbortSignal.timeout(TIMEOUT_MS)]),
        }
        await config.applyToHTTPSOptions(call)
        const sent = (url.protocol === 'http:' ? sendHttp : sendHttps)(url, call)
        sent.end(body === undefined ? undefined : JSON.stringify(body))
        const [response]: IncomingMessage[] = await once(sent, 'response')
        if (response === undefined) throw new Error('no response')
        return await readAnswer(response)
      } catch (cause) {
        options.signal.throwIfAborted()
        throw new CodedError(
          'UNAVAILABLE',
          printable(`Cannot ask the API server at ${server}: ${messageOf(cause)}`),
          { cause },
        )
      }
    },
  }
}

async function readAnswer(response: IncomingMessage): Promise<KubernetesAnswer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Error(`its answer has more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  const status = response.statusCode ?? 0
  const body = parseObject(Buffer.concat(chunks).toString())
  if (body === undefined && status < 300) throw new Error('its answer is no JSON object')
  return { status, body: body ?? {}, message: textAt(body, 'message') ?? `status ${status}` }
}

/** Proxies in between may answer HTML. */
function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
