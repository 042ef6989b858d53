import { readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { beforeAll, expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { DOCKER_REGISTRY, startDockerRegistry, USER } from './docker-registry.ts'
import { startEcrEndpoint } from './ecr-endpoint.ts'
import { buildGoProgram } from './go-program.ts'
import { startTokenServer } from './token-server.ts'

const why = (await whyNoProgram('go', DOCKER_REGISTRY)) ?? (await whyNoMounts())
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })
const TIMEOUT_MS = 120_000
/** What ECR calls its registries: the provider takes the region out of it. */
const ECR = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
const CLOUD_SECRET = 'Cl0ud-secret-key'

let ecrProvider: string
beforeAll(async () => {
  if (why === undefined) ecrProvider = await buildGoProgram('ecr-credential-provider')
})

async function pull(
  node: TestNode,
  driver: TestDriver,
  pod: string,
  reference: string,
  auths?: object,
): Promise<string> {
  const request = await node.request(pod, reference, {
    ...(auths !== undefined && { secret: { '.dockerconfigjson': JSON.stringify({ auths }) } }),
  })
  await driver.csi.nodePublishVolume(request)
  try {
    return await readFile(join(request.target_path, 'hello.txt'), 'utf8')
  } finally {
    await driver.csi.nodeUnpublishVolume(request)
  }
}

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call
  } catch (error) {
    return error
  }
  throw new Error('Expected a failure')
}

test("the ECR plug-in of Kubernetes' AWS cloud provider gets a password from its cloud, and opens a registry with htpasswd", {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using registry = await startDockerRegistry({ auth: true })
  for (const name of ['a', 'b']) {
    await push(registry.url, `acme/${name}:v1`, HELLO, { credential: USER })
  }
  await using cloud = await startEcrEndpoint(USER)
  await using directory = await temporaryDirectory()
  // As the documents of EKS have it, but for where the cloud is.
  const config = directory.file('providers.yaml')
  await writeFile(
    config,
    `
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: ecr-credential-provider
    matchImages:
      - "*.dkr.ecr.*.amazonaws.com"
      - "*.dkr.ecr.*.amazonaws.com.cn"
    defaultCacheDuration: "12h"
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    env:
      - name: AWS_ENDPOINT_URL_ECR
        value: ${cloud.url}
      - name: AWS_ACCESS_KEY_ID
        value: AKIATEST
      - name: AWS_SECRET_ACCESS_KEY
        value: ${CLOUD_SECRET}
`,
  )
  await using node = await startNode()
  await node.configure(ECR, `server = "${registry.url}"`)
  await using driver = await node.startDriver({
    args: [
      ...['--credential-provider-config', config],
      ...['--credential-provider-bin-dir', dirname(ecrProvider)],
    ],
  })
  for (const name of ['a', 'b']) {
    expect(await pull(node, driver, name, `${ECR}/acme/${name}:v1`)).toBe('hello v1')
  }
  // The answer is for the registry, for half of the password's life.
  expect(cloud.calls).toEqual(['GetAuthorizationToken AKIATEST'])
  for (const secret of [USER.password, CLOUD_SECRET]) {
    expect(driver.process.output()).not.toContain(secret)
  }
})

test('the ECR plug-in without a cloud is named in the refusal, with its exit code, and in the log with its own words', {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using registry = await startDockerRegistry({ auth: true })
  await using directory = await temporaryDirectory()
  const config = directory.file('providers.yaml')
  await writeFile(
    config,
    `
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: ecr-credential-provider
    matchImages: ["*.dkr.ecr.*.amazonaws.com"]
    defaultCacheDuration: 12h
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    env: [{name: AWS_EC2_METADATA_DISABLED, value: "true"}]
`,
  )
  await using node = await startNode()
  await node.configure(ECR, `server = "${registry.url}"`)
  await using driver = await node.startDriver({
    args: [
      ...['--credential-provider-config', config],
      ...['--credential-provider-bin-dir', dirname(ecrProvider)],
    ],
  })
  expect(await failureOf(pull(node, driver, 'a', `${ECR}/acme/a:v1`))).toMatchObject({
    code: status.UNAUTHENTICATED,
    details: expect.stringContaining(
      'tried credential provider "ecr-credential-provider" (exit code 1), anonymous access',
    ),
  })
  const { json } = await driver.process.waitForLine(
    (line) => line.json?.['msg'] === 'credential provider failed',
  )
  expect(json).toMatchObject({
    provider: 'ecr-credential-provider',
    image: `${ECR}/acme/a`,
    why: 'exit code 1',
    stderr: expect.stringContaining('no EC2 IMDS role found'),
  })
})

test("Debian's docker-registry with htpasswd opens by a pod's secret, and by the node's docker config as soon as it is there", {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using registry = await startDockerRegistry({ auth: true })
  for (const name of ['a', 'b']) {
    await push(registry.url, `acme/${name}:v1`, HELLO, { credential: USER })
  }
  await using directory = await temporaryDirectory()
  const file = directory.file('config.json')
  await using node = await startNode()
  await node.configure(registry.host, `server = "${registry.url}"`)
  await using driver = await node.startDriver({ args: ['--docker-config', file] })
  const reference = (name: string) => `${registry.host}/acme/${name}:v1`
  const auths = { [registry.host]: USER }
  expect(await pull(node, driver, 'secret', reference('a'), auths)).toBe('hello v1')
  // What the pod has proved is his alone.
  expect(await failureOf(pull(node, driver, 'stranger', reference('a')))).toMatchObject({
    code: status.UNAUTHENTICATED,
  })
  await writeFile(`${file}.new`, JSON.stringify({ auths }))
  await rename(`${file}.new`, file)
  expect(await pull(node, driver, 'anyone', reference('b'))).toBe('hello v1')
})

test("Debian's docker-registry with tokens opens by password, by identity token and by registry token, and to nobody else", {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using tokens = await startTokenServer()
  await using registry = await startDockerRegistry({ auth: tokens.auth })
  await push(registry.url, 'acme/app:v1', HELLO, { credential: USER })
  await using node = await startNode()
  await node.configure(registry.host, `server = "${registry.url}"`)
  await using driver = await node.startDriver()
  const reference = `${registry.host}/acme/app:v1`
  const asked = tokens.requests.length
  const entries = {
    password: USER,
    identity: { identitytoken: tokens.refreshToken },
    registry: { registrytoken: tokens.issue('acme/app') },
  }
  for (const [pod, entry] of Object.entries(entries)) {
    expect(await pull(node, driver, pod, reference, { [registry.host]: entry })).toBe('hello v1')
  }
  // The registry token is no business of the token service.
  expect([...new Set(tokens.requests.slice(asked))]).toEqual(['GET basic', 'POST refresh_token'])
  const refused = {
    anonymous: undefined,
    wrong: { [registry.host]: { username: USER.username, password: 'wrong' } },
    revoked: { [registry.host]: { identitytoken: 'revoked' } },
    forged: { [registry.host]: { registrytoken: tokens.issue('acme/other') } },
    elsewhere: { 'elsewhere.example': USER },
  }
  for (const [pod, auths] of Object.entries(refused)) {
    expect(await failureOf(pull(node, driver, pod, reference, auths))).toMatchObject({
      code: status.UNAUTHENTICATED,
    })
  }
})
