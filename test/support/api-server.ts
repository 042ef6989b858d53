import jsonPatch from 'fast-json-patch'
import { Agent, request } from 'undici'
import type { AdmissionReview } from './admission-review.ts'

/** What a webhook answers in a review. */
export interface AdmissionResponse {
  readonly uid: string
  readonly allowed: boolean
  readonly status?: { readonly code?: number; readonly message?: string; readonly reason?: string }
  readonly patchType?: string
  /** Base64 of a JSON Patch. */
  readonly patch?: string
  readonly warnings?: readonly string[]
  readonly auditAnnotations?: Readonly<Record<string, string>>
}

/** An HTTP answer as it came. */
export interface WebhookAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** The API server's side of admission: one keep-alive pool, TLS verified. Disposing closes the connections. */
export interface ApiServer extends AsyncDisposable {
  /** Posts anything; `path` is e.g. `/mutate`. */
  post(path: string, body: string): Promise<WebhookAnswer>
  /**
   * Asks for a verdict as `POST <path>?timeout=5s`, and checks what the API server checks of the answer.
   *
   * @throws when the status is not 200 or the answer is not an acceptable AdmissionReview
   */
  review(path: string, review: AdmissionReview): Promise<AdmissionResponse>
  /** Asks, and gives the object as it is after the patch. A denial gives the object as it was. */
  mutate(
    path: string,
    review: AdmissionReview,
  ): Promise<{ readonly response: AdmissionResponse; readonly object: unknown }>
}

// `timeoutSeconds` of the webhook configuration.
const TIMEOUT_SECONDS = 5

/** Opens the API server's side towards a webhook. */
export function openApiServer(options: {
  /** e.g. `https://127.0.0.1:9443` */
  readonly url: string
  /** PEM: `caBundle` of the webhook configuration. */
  readonly ca: string
  /** What the certificate must name, e.g. `oras-csi-webhook.oras-csi.svc`; default the URL's host. */
  readonly serverName?: string
  /** How many reviews may be under way at once; default 1, so that they all go over one kept connection. */
  readonly connections?: number
}): ApiServer {
  const { url, ca, serverName, connections = 1 } = options
  const agent = new Agent({
    connections,
    // Idle connections live about this long in the API server.
    keepAliveTimeout: 90_000,
    connect: { ca, ...(serverName !== undefined && { servername: serverName }) },
  })
  const post = async (path: string, body: string): Promise<WebhookAnswer> => {
    const answer = await request(new URL(path, url), {
      method: 'POST',
      dispatcher: agent,
      headers: { 'content-type': 'application/json', accept: 'application/json, */*' },
      body,
    })
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: await answer.body.text(),
    }
  }
  const review: ApiServer['review'] = async (path, question) => {
    const answer = await post(`${path}?timeout=${TIMEOUT_SECONDS}s`, JSON.stringify(question))
    if (answer.status !== 200) {
      throw new Error(`failed calling webhook: status ${answer.status}: ${answer.body}`)
    }
    return verifiedResponse(answer.body, question)
  }
  return {
    post,
    review,
    mutate: async (path, question) => {
      const response = await review(path, question)
      return { response, object: patched(question.request.object, response) }
    },
    [Symbol.asyncDispose]: () => agent.close(),
  }
}

/** Applies the patch of a response to a copy of an object, strictly; gives the object as it was when there is none. */
export function patched(object: unknown, response: AdmissionResponse): unknown {
  if (response.patch === undefined) return object
  const operations = JSON.parse(Buffer.from(response.patch, 'base64').toString())
  return jsonPatch.applyPatch(structuredClone(object), operations, true).newDocument
}

/** The checks of the API server's VerifyAdmissionResponse. */
function verifiedResponse(body: string, question: AdmissionReview): AdmissionResponse {
  const { apiVersion, kind, response } = JSON.parse(body)
  if (apiVersion !== 'admission.k8s.io/v1' || kind !== 'AdmissionReview') {
    throw new Error(`expected webhook response of admission.k8s.io/v1, got ${apiVersion} ${kind}`)
  }
  if (response === undefined || response === null) throw new Error('webhook response is missing')
  if (response.uid !== question.request.uid) {
    throw new Error(`expected response.uid="${question.request.uid}", got "${response.uid}"`)
  }
  const hasPatch = typeof response.patch === 'string' && response.patch !== ''
  if (hasPatch && response.patchType !== 'JSONPatch') {
    throw new Error(`webhook returned response.patch and invalid patchType ${response.patchType}`)
  }
  if (!hasPatch && response.patchType !== undefined) {
    throw new Error('webhook returned response.patchType without response.patch')
  }
  return response
}
