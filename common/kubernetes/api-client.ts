import { Agent, request } from 'undici'
import { CodedError, messageOf } from '../errors.ts'
import {
  readServiceAccount,
  type ServiceAccount,
  type ServiceAccountFiles,
} from './service-account.ts'

/** One call of the Kubernetes API. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH'
  /** e.g. `/api/v1/nodes/node-1`; names in it encoded. */
  readonly path: string
  /** Of a POST or PATCH. */
  readonly body?: unknown
  /** Of the body; default `application/json`. */
  readonly contentType?:
    | 'application/json'
    | 'application/merge-patch+json'
    | 'application/strategic-merge-patch+json'
    | 'application/json-patch+json'
}

/** What the API server said, whatever it was. */
export interface ApiAnswer {
  readonly status: number
  /** The document; undefined when it is no JSON. */
  readonly body: unknown
  /** Of a failure: its words, for logs. */
  readonly message: string
  /** When it may be asked again, if it says so. */
  readonly retryAfterMs?: number
}

/**
 * Calls the API server as a pod's service account: over TLS to its authority only, past any proxy, the token read again as the kubelet replaces it.
 * Of our own: the official client takes 60 MB and a second to load, on every node.
 */
export interface ApiClient extends AsyncDisposable {
  /** @throws UNAVAILABLE when there is no answer in time, or the signal fires */
  send(request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer>
}

/** An overloaded API server takes seconds; its own limit is a minute. */
const DEFAULT_TIMEOUT_MS = 10_000
/** The kubelet replaces a token when a fifth of its life, an hour as a rule, is left: as often as client-go looks. */
const FRESH_MS = 60_000
/** etcd holds objects of 1.5 MiB at most. */
const MAX_ANSWER_BYTES = 4 * 1024 ** 2
const MAX_MESSAGE_LENGTH = 500

/** @param options.now milliseconds on any clock that does not jump */
export function openApiClient(options: {
  readonly account: ServiceAccount
  readonly timeoutMs?: number
  readonly now?: () => number
}): ApiClient {
  const { account, timeoutMs = DEFAULT_TIMEOUT_MS, now = () => performance.now() } = options
  let access: { readonly files: ServiceAccountFiles; readonly agent: Agent } | undefined
  let readAtMs = Number.NEGATIVE_INFINITY
  const agents = new Set<Agent>()

  /** The files as read lately, and the connections that trust that authority. */
  const current = async () => {
    if (access !== undefined && now() - readAtMs < FRESH_MS) return access
    const files = await readServiceAccount(account.directory)
    readAtMs = now()
    if (access?.files.ca === files.ca) {
      access = { files, agent: access.agent }
      return access
    }
    const before = access?.agent
    const agent = new Agent({ connections: 2, connect: { ca: files.ca, timeout: timeoutMs } })
    agents.add(agent)
    access = { files, agent }
    // What is under way there ends first.
    void before
      ?.close()
      .catch(() => undefined)
      .finally(() => agents.delete(before))
    return access
  }

  const sendOnce = async (asked: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> => {
    const { files, agent } = await current()
    const { statusCode, headers, body } = await request(new URL(asked.path, account.url), {
      method: asked.method,
      dispatcher: agent,
      headers: {
        authorization: `Bearer ${files.token}`,
        accept: 'application/json',
        'user-agent': 'oras-csi',
        ...(asked.body !== undefined && {
          'content-type': asked.contentType ?? 'application/json',
        }),
      },
      ...(asked.body !== undefined && { body: JSON.stringify(asked.body) }),
      signal,
    })
    const document = parse(await readText(body))
    const retryAfter = Number(headers['retry-after'])
    return {
      status: statusCode,
      body: document,
      message: messageIn(document),
      ...(retryAfter >= 0 && { retryAfterMs: retryAfter * 1_000 }),
    }
  }

  return {
    async send(asked, signal) {
      const either = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
      try {
        const answer = await sendOnce(asked, either)
        if (answer.status !== 401) return answer
        // The token may have been replaced since it was read.
        readAtMs = Number.NEGATIVE_INFINITY
        return await sendOnce(asked, either)
      } catch (cause) {
        throw new CodedError(
          'UNAVAILABLE',
          `Cannot ${asked.method} "${asked.path}": the API server does not answer: ${messageOf(cause)}`,
          { cause },
        )
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...agents].map((agent) => agent.destroy()))
    },
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`more than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** Proxies in between may answer HTML. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
function messageIn(document: unknown): string {
  const said =
    typeof document === 'object' && document !== null && 'message' in document
      ? document.message
      : undefined
  return typeof said === 'string' ? said.slice(0, MAX_MESSAGE_LENGTH) : 'no message'
}
