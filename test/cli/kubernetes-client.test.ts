import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { openKubernetes } from '../../cli/kubernetes-client.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { kubeconfigOf } from './check-cluster-api.ts'

/** The official client takes seconds to load on a busy machine. */
const SLOW = { timeout: 60_000 }

async function listening(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Asks a server once, by a kubeconfig with this user. */
async function ask(options: { readonly url: string; readonly user: object; readonly ca?: string }) {
  await using directory = await temporaryDirectory()
  const kubeconfig = directory.file('kubeconfig')
  await writeFile(kubeconfig, kubeconfigOf(options))
  await writeFile(directory.file('ca.crt'), options.ca ?? '')
  const signal = AbortSignal.timeout(60_000)
  const client = await openKubernetes({ kubeconfig, env: {}, signal })
  // Awaited, so that the files stay until it is answered.
  return await client.send('/version')
}

test(
  'asks below the path of the server, as kubectl proxy and Rancher want it, in plain HTTP',
  SLOW,
  async () => {
    const asked: unknown[] = []
    await using server = await listening(
      createServer(({ method, url, headers }, response) => {
        asked.push([method, url, headers.authorization, headers.accept])
        response.end('{"gitVersion":"v1"}')
      }),
    )
    const url = `http://127.0.0.1:${server.port}/k8s/clusters/c-1/`
    expect(await ask({ url, user: { token: 'of-rancher' } })).toStrictEqual({
      ...{ status: 200, body: { gitVersion: 'v1' }, message: 'status 200' },
    })
    expect(asked).toStrictEqual([
      ['GET', '/k8s/clusters/c-1/version', 'Bearer of-rancher', 'application/json'],
    ])
  },
)

test('shows the certificate of the person', SLOW, async () => {
  const authority = await createCertificateAuthority()
  const pair = await authority.issue({ names: ['127.0.0.1'] })
  const person = await authority.issue({ names: ['alice'] })
  const tls = { ...pair, ca: authority.cert, requestCert: true }
  await using server = await listening(
    createTlsServer(tls, ({ socket }, response) => {
      const { subject } = (socket as TLSSocket).getPeerCertificate()
      response.end(JSON.stringify({ message: subject.CN }))
    }),
  )
  const data = (pem: string) => Buffer.from(pem).toString('base64')
  const user = {
    'client-certificate-data': data(person.cert),
    'client-key-data': data(person.key),
  }
  const url = `https://127.0.0.1:${server.port}`
  expect((await ask({ url, user, ca: authority.cert })).message).toBe('alice')
})

test('refuses an answer that is no JSON, and passes on a failure that is none', SLOW, async () => {
  let status = 200
  await using server = await listening(
    createServer((_, response) => {
      response.writeHead(status).end('<html>a proxy of the company</html>')
    }),
  )
  const url = `http://127.0.0.1:${server.port}`
  await expect(ask({ url, user: {} })).rejects.toThrow(
    `Cannot ask the API server at ${url}: its answer is no JSON object`,
  )
  status = 502
  expect(await ask({ url, user: {} })).toStrictEqual({ status, body: {}, message: 'status 502' })
})
