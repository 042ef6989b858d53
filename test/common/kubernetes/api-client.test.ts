import { readFile, rm, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openApiClient } from '../../../common/kubernetes/api-client.ts'
import { findServiceAccount } from '../../../common/kubernetes/service-account.ts'
import { type Fault, startApiImitation } from '../../support/api-imitation.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const NODE = '/api/v1/nodes/node-1'
const never = new AbortController().signal

test('reads and changes an object with the account that Kubernetes gave', async () => {
  await using server = await startApiImitation()
  server.objects.set(NODE, { spec: { taints: [] } })
  const account = await findServiceAccount({
    env: server.env,
    directory: server.accountDirectory,
  })
  await using api = openApiClient({ account })
  const body = [{ op: 'add', path: '/spec/taints/0', value: { key: 'a' } }]
  const contentType = 'application/json-patch+json'
  await api.send({ method: 'PATCH', path: NODE, contentType, body }, never)
  expect(await api.send({ method: 'GET', path: NODE }, never)).toEqual({
    status: 200,
    body: { spec: { taints: [{ key: 'a' }] } },
    message: 'no message',
  })
  expect(server.calls).toEqual([
    { method: 'PATCH', path: NODE, token: 'first-token', contentType, text: JSON.stringify(body) },
    { method: 'GET', path: NODE, token: 'first-token', contentType: undefined, text: '' },
  ])
})

test('a token that was replaced is read again: when it is refused, and before that each minute', async () => {
  await using server = await startApiImitation()
  server.objects.set(NODE, {})
  let nowMs = 0
  const account = { url: server.url, directory: server.accountDirectory }
  await using api = openApiClient({ account, now: () => nowMs })
  const tokens = () => server.calls.map(({ token }) => token)
  const get = async () => (await api.send({ method: 'GET', path: NODE }, never)).status
  expect(await get()).toBe(200)
  await server.useToken('second-token')
  expect(await get()).toBe(200)
  expect(tokens()).toEqual(['first-token', 'first-token', 'second-token'])
  await server.useToken('third-token')
  nowMs = 60_000
  expect(await get()).toBe(200)
  expect(tokens().slice(3)).toEqual(['third-token'])
})

test('a token that is refused twice is an answer like any other', async () => {
  await using server = await startApiImitation()
  await using api = openApiClient({
    account: { url: server.url, directory: server.accountDirectory },
  })
  server.fault = () => ({ status: 401, message: 'Unauthorized' })
  const { status, message } = await api.send({ method: 'GET', path: NODE }, never)
  expect({ status, message, calls: server.calls.length }).toEqual({
    ...{ status: 401, message: 'Unauthorized', calls: 2 },
  })
})

test.each<{ name: string; fault: Fault; message: RegExp }>([
  { name: 'that hangs', fault: 'hang', message: /aborted due to timeout$/ },
  { name: 'that closes the connection', fault: 'close', message: /does not answer: / },
  { name: 'that closes it within its answer', fault: 'half', message: /does not answer: / },
])('an API server $name is UNAVAILABLE', async ({ fault, message }) => {
  await using server = await startApiImitation()
  await using api = openApiClient({
    account: { url: server.url, directory: server.accountDirectory },
    timeoutMs: 500,
  })
  server.fault = () => fault
  await expect(api.send({ method: 'GET', path: NODE }, never)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringMatching(message),
  })
})

test('what a proxy in between says is no document, and no failure of ours', async () => {
  await using server = await startApiImitation()
  await using api = openApiClient({
    account: { url: server.url, directory: server.accountDirectory },
  })
  server.fault = () => 'nonsense'
  expect(await api.send({ method: 'GET', path: NODE }, never)).toEqual({
    ...{ status: 200, body: undefined, message: 'no message' },
  })
})

test('an API server of another authority is told no token', async () => {
  await using server = await startApiImitation()
  const other = await createCertificateAuthority()
  await writeFile(`${server.accountDirectory}/ca.crt`, other.cert)
  await using api = openApiClient({
    account: { url: server.url, directory: server.accountDirectory },
  })
  await expect(api.send({ method: 'GET', path: NODE }, never)).rejects.toThrow('certificate')
  expect(server.calls).toEqual([])
})

test('an authority that is replaced is trusted with the next look at the files', async () => {
  await using server = await startApiImitation()
  await using other = await startApiImitation()
  server.objects.set(NODE, {})
  let nowMs = 0
  const { accountDirectory } = server
  const right = await readFile(`${accountDirectory}/ca.crt`)
  await writeFile(`${accountDirectory}/ca.crt`, await readFile(`${other.accountDirectory}/ca.crt`))
  await using api = openApiClient({
    account: { url: server.url, directory: accountDirectory },
    now: () => nowMs,
  })
  await expect(api.send({ method: 'GET', path: NODE }, never)).rejects.toThrow('certificate')
  await writeFile(`${accountDirectory}/ca.crt`, right)
  nowMs = 60_000
  expect((await api.send({ method: 'GET', path: NODE }, never)).status).toBe(200)
})

test('outside a cluster, and in a pod without a token, there is no account, and it is said why', async () => {
  await using directory = await temporaryDirectory()
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }
  await expect(findServiceAccount({ env: {}, directory: directory.path })).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: 'Not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set',
  })
  await expect(findServiceAccount({ env, directory: directory.path })).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: `No service account in "${directory.path}"; expected "token" and "ca.crt", as automountServiceAccountToken: true brings them`,
  })
  for (const name of ['token', 'ca.crt']) await writeFile(directory.file(name), 'x')
  expect(await findServiceAccount({ env, directory: directory.path })).toEqual({
    url: 'https://[fd00::1]:443',
    directory: directory.path,
  })
})

test('files that are gone for a moment are an API server that does not answer', async () => {
  await using server = await startApiImitation()
  await rm(`${server.accountDirectory}/token`)
  await using api = openApiClient({
    account: { url: server.url, directory: server.accountDirectory },
  })
  await expect(api.send({ method: 'GET', path: NODE }, never)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('Cannot read the service account in'),
  })
})
