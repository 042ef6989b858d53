import { performance } from 'node:perf_hooks'
import { parseChallenge } from '../common/oci/challenge.ts'
import { RequestFailure } from '../common/oci/request-failure.ts'
import type { Transport } from '../common/oci/transport.ts'

/** One request as it went out and what came of it. No secret is in it: neither query, header values nor bodies. */
export interface TracedRequest {
  readonly method: string
  /** Without its query, which may be a signature. */
  readonly url: string
  /** What was sent for credentials, e.g. `Basic`; undefined for none. */
  readonly authorization?: string
  /** Without its user and password. */
  readonly proxy?: string
  readonly seconds: number
  readonly status?: number
  /** What a 401 asks for, e.g. `Bearer from https://auth.example.com/token for "registry.example.com"`. */
  readonly asks?: string
  /** Why no answer came. */
  readonly failure?: string
}

/** Hears of every request that goes over a transport. The transport stays its owner's. */
export function traceTransport(
  transport: Transport,
  onRequest: (request: TracedRequest) => void,
): Transport {
  return {
    ...transport,
    async send(request) {
      const { method, url, headers, proxy } = request
      const startedMs = performance.now()
      const [scheme] = (headers['authorization'] ?? '').split(' ')
      const traced = () => ({
        method,
        url: url.origin + url.pathname,
        ...(scheme && { authorization: scheme }),
        ...(proxy !== undefined && { proxy: new URL(proxy).origin }),
        seconds: Math.round(performance.now() - startedMs) / 1000,
      })
      try {
        const answer = await transport.send(request)
        const asks = answer.status === 401 && describeChallenge(answer.header('www-authenticate'))
        onRequest({ ...traced(), status: answer.status, ...(asks && { asks }) })
        return answer
      } catch (error) {
        const failure = error instanceof RequestFailure ? error.message : 'interrupted'
        onRequest({ ...traced(), failure })
        throw error
      }
    },
  }
}

function describeChallenge(header: string | undefined): string {
  const challenge = parseChallenge(header)
  if (challenge === undefined) return 'nothing that can be answered'
  if (challenge.scheme === 'basic') return 'Basic: user and password'
  const { origin, pathname } = new URL(challenge.realm)
  const service = challenge.service === undefined ? '' : ` for ${JSON.stringify(challenge.service)}`
  return `Bearer: a token from ${origin}${pathname}${service}`
}
