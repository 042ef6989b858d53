import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An imitation of the one call of ECR's API that a credential provider makes. */
export interface EcrEndpoint extends AsyncDisposable {
  readonly url: string
  /** What was called, and in whose name, e.g. `GetAuthorizationToken AKIATEST`; `unsigned` for a call without a signature. */
  readonly calls: readonly string[]
}

const LIFETIME_MS = 12 * 60 * 60 * 1_000

/**
 * Starts it on loopback: whoever signs a call gets the user and password given. The signature itself is not checked.
 *
 * @see https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
 */
export async function startEcrEndpoint(user: {
  readonly username: string
  readonly password: string
}): Promise<EcrEndpoint> {
  const calls: string[] = []
  const server = createServer((request, response) => {
    request.resume()
    const action = String(request.headers['x-amz-target']).split('.').at(-1)
    const key = /Credential=([^/]+)\//.exec(request.headers.authorization ?? '')?.[1]
    calls.push(`${action} ${key ?? 'unsigned'}`)
    const isKnown = action === 'GetAuthorizationToken' && key !== undefined
    response.writeHead(isKnown ? 200 : 400, { 'content-type': 'application/x-amz-json-1.1' })
    const token = Buffer.from(`${user.username}:${user.password}`).toString('base64')
    response.end(
      JSON.stringify(
        isKnown
          ? {
              authorizationData: [
                {
                  authorizationToken: token,
                  expiresAt: (Date.now() + LIFETIME_MS) / 1_000,
                  proxyEndpoint: 'https://ecr.test',
                },
              ],
            }
          : { __type: 'UnrecognizedClientException', message: 'no' },
      ),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
