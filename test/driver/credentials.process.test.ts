import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { makeCredentialProvider } from '../support/credential-provider.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startProcess } from '../support/process.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const why = await whyNoMounts()
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })
const ALICE = { username: 'alice', password: 'Pa55-of:alice' }
const WRONG = { username: 'alice', password: 'Wr0ng-of-mallory' }
const TIMEOUT_MS = 60_000

/** What must be found nowhere: the passwords, and what they are sent as. */
const SECRETS = [ALICE, WRONG].flatMap(({ username, password }) => [
  password,
  Buffer.from(`${username}:${password}`).toString('base64'),
])

async function privateRegistry(kind: 'basic' | 'bearer', ...names: string[]) {
  const registry = await startRegistry({ auth: { kind, users: { alice: ALICE.password } } })
  for (const name of names) await push(registry.url, name, HELLO, { credential: ALICE })
  return registry
}

function config(registry: TestRegistry, entry: object): string {
  return JSON.stringify({ auths: { [registry.host]: entry } })
}

/** Publishes one volume and reads what the pod sees. */
async function pull(
  node: TestNode,
  driver: TestDriver,
  pod: string,
  reference: string,
  secret?: string,
): Promise<string> {
  const request = await node.request(pod, reference, {
    ...(secret !== undefined && { secret: { '.dockerconfigjson': secret } }),
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

/** Replaces a file as the kubelet replaces those of a mounted secret: by another target of a link on the way to it. */
async function swap(directory: string, content: string): Promise<void> {
  const version = `..${(await readdir(directory)).length}-${Math.random()}`
  await mkdir(join(directory, version))
  await writeFile(join(directory, version, 'config.json'), content)
  await symlink(version, join(directory, '..data_tmp'))
  await rename(join(directory, '..data_tmp'), join(directory, '..data'))
  await symlink('..data/config.json', join(directory, 'config.json')).catch(() => undefined)
}

test.for([['basic'], ['bearer']] as const)(
  "a pod's secret opens a registry that asks for %s",
  { timeout: TIMEOUT_MS },
  async ([kind], context) => {
    skipUnless(context, why)
    await using registry = await privateRegistry(kind, 'acme/app:v1')
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = `${registry.host}/acme/app:v1`
    expect(await pull(node, driver, 'a', reference, config(registry, ALICE))).toBe('hello v1')
    if (kind === 'basic') return
    const tokens = {
      identitytoken: registry.identityToken('alice'),
      registrytoken: registry.accessToken('alice', 'acme/app'),
    }
    for (const [field, token] of Object.entries(tokens)) {
      const secret = config(registry, { [field]: token })
      expect(await pull(node, driver, field, reference, secret)).toBe('hello v1')
    }
  },
)

test("the node's docker config opens a registry to every pod, and is read again when its link moves", {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using registry = await privateRegistry('basic', 'acme/a:v1', 'acme/b:v1')
  await using directory = await temporaryDirectory()
  const file = directory.file('config.json')
  await using node = await startNode(registry)
  await using driver = await node.startDriver({ args: ['--docker-config', file] })
  const refusal = (name: string) =>
    failureOf(pull(node, driver, name, `${registry.host}/acme/${name}:v1`))

  // Another name each time: refusals are remembered for a while.
  expect(await refusal('absent')).toMatchObject({
    code: status.UNAUTHENTICATED,
    details: expect.stringContaining('; tried anonymous access'),
  })

  await swap(directory.path, config(registry, WRONG))
  expect(await refusal('wrong')).toMatchObject({
    code: status.UNAUTHENTICATED,
    details: expect.stringContaining('tried docker config of the node, anonymous access'),
  })

  await swap(directory.path, config(registry, ALICE))
  expect(await pull(node, driver, 'a', `${registry.host}/acme/a:v1`)).toBe('hello v1')

  // A broken one changes nothing, and is told once.
  await swap(directory.path, `{"auths":{"${registry.host}":{"auth":"${ALICE.password}"}}}`)
  expect(await pull(node, driver, 'b', `${registry.host}/acme/b:v1`)).toBe('hello v1')
  const warning = `${file}.auths["${registry.host}"].auth: expected base64 of "user:password"; what it held before counts`
  expect(driver.process.lines.filter(({ json }) => json?.['msg'] === warning)).toHaveLength(1)

  // Whoever takes it away takes the credentials away.
  await rm(file)
  expect(await refusal('gone')).toMatchObject({ code: status.UNAUTHENTICATED })
  for (const secret of SECRETS) expect(driver.process.output()).not.toContain(secret)
})

test('a credential provider opens a registry, and is asked once for all of it', {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using registry = await privateRegistry('bearer', 'acme/a:v1', 'acme/b:v1')
  await using directory = await temporaryDirectory()
  const provider = await makeCredentialProvider(directory, {
    matchImages: [registry.host],
    args: ['--region', 'eu-west-1'],
    env: { CLOUD: 'ours' },
  })
  await provider.answer({ [registry.host]: ALICE })
  await using node = await startNode(registry)
  await using driver = await node.startDriver({
    args: provider.flags,
    env: { FROM_THE_DRIVER: 'yes' },
  })
  for (const name of ['a', 'b']) {
    expect(await pull(node, driver, name, `${registry.host}/acme/${name}:v1`)).toBe('hello v1')
  }
  const [run, ...others] = await provider.runs()
  expect(others).toEqual([])
  expect(run?.request).toEqual({
    kind: 'CredentialProviderRequest',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    image: `${registry.host}/acme/a`,
  })
  expect(run?.commandLine.split('\0').slice(2, -1)).toEqual(['--region', 'eu-west-1'])
  const environment = run?.environment.split('\0')
  expect(environment).toEqual(expect.arrayContaining(['CLOUD=ours', 'FROM_THE_DRIVER=yes']))
})

test('each kind is tried in its order, the refusal names them all, and no secret is seen anywhere', {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using registry = await privateRegistry('bearer', 'acme/app:v1', 'acme/open:v1')
  await using directory = await temporaryDirectory()
  const provider = await makeCredentialProvider(directory, { matchImages: [registry.host] })
  await provider.behave(`echo "denied: token=${WRONG.password}" >&2; exit 3`)
  const dockerConfig = directory.file('config.json')
  await writeFile(dockerConfig, config(registry, WRONG))
  await using node = await startNode(registry)
  await using driver = await node.startDriver({
    args: [...provider.flags, '--docker-config', dockerConfig, '--log-level', 'debug'],
  })
  const reference = `${registry.host}/acme/app:v1`
  const messages: string[] = []
  const refusal = async (secret?: string) => {
    const error = await failureOf(pull(node, driver, 'app', reference, secret))
    messages.push(String(error))
    return error
  }
  expect(await refusal(config(registry, WRONG))).toMatchObject({
    code: status.UNAUTHENTICATED,
    details: expect.stringMatching(
      /; tried secret of the volume, docker config of the node, credential provider "test-provider" \(exit code 3\), anonymous access/,
    ),
  })
  expect(await refusal()).toMatchObject({
    details: expect.stringMatching(/; tried docker config of the node, credential provider/),
  })
  expect(
    await refusal(`{"auths":{"${registry.host}":{"auth":"${WRONG.password}"}}}`),
  ).toMatchObject({ code: status.INVALID_ARGUMENT })
  await provider.answer({ [registry.host]: ALICE })
  // A pod's own secret comes first: where it opens the registry, nobody runs a program.
  const before = (await provider.runs()).length
  expect(
    await pull(node, driver, 'own', `${registry.host}/acme/open:v1`, config(registry, ALICE)),
  ).toBe('hello v1')
  expect(await provider.runs()).toHaveLength(before)

  const output = driver.process.output()
  expect(output).toContain('"stderr":"denied: token=[hidden]"')
  const seen = [...messages, output]
  for (const run of await provider.runs()) seen.push(run.commandLine, run.environment)
  for (const entry of await readdir(node.storeDirectory, {
    recursive: true,
    withFileTypes: true,
  })) {
    if (entry.isFile()) seen.push(await readFile(join(entry.parentPath, entry.name), 'latin1'))
  }
  for (const secret of SECRETS) expect(seen.filter((text) => text.includes(secret))).toEqual([])
})

test("a cloud's password that has rotated needs no new proof in its namespace, and proves nothing in another", {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  const user = { username: 'AWS', password: 'of-the-morning' }
  await using registry = await startRegistry({
    auth: { kind: 'basic', users: { [user.username]: user.password } },
  })
  await push(registry.url, 'acme/app:v1', HELLO, { credential: user })
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const reference = `${registry.host}/acme/app:v1`
  const secret = (password: string) => config(registry, { username: 'AWS', password })
  expect(await pull(node, driver, 'morning', reference, secret('of-the-morning'))).toBe('hello v1')

  // The registry does not know the new one: whoever asks it is refused.
  registry.clearRequests()
  expect(await pull(node, driver, 'evening', reference, secret('of-the-evening'))).toBe('hello v1')
  expect(registry.requests).toEqual([])
  const other = await node.request('other', reference, {
    secret: { '.dockerconfigjson': secret('of-the-evening') },
  })
  const elsewhere = {
    ...other,
    volume_context: { ...other.volume_context, 'csi.storage.k8s.io/pod.namespace': 'elsewhere' },
  }
  expect(await failureOf(driver.csi.nodePublishVolume(elsewhere))).toMatchObject({
    code: status.UNAUTHENTICATED,
  })
})

test.for([
  [
    'a field that does not exist',
    'apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- nam: x\n',
    /providers\.yaml:4: providers\[0\]: has an unknown field \\"nam\\"; did you mean \\"name\\"\?/,
  ],
  [
    'a program that is not there',
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [
        {
          name: 'ecr',
          apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
          matchImages: ['*.example'],
          defaultCacheDuration: '0s',
        },
      ],
    }),
    /Cannot run the program \\"[^"]*\/ecr\\" of the credential provider \\"ecr\\": ENOENT/,
  ],
] as const)('a driver does not start with %s', async ([, text, message]) => {
  await using directory = await temporaryDirectory()
  const file = directory.file('providers.yaml')
  await writeFile(file, text)
  await using driver = startProcess({
    args: [
      'driver/main.ts',
      ...['--kubelet-directory', directory.file('kubelet')],
      ...['--health-listen', '127.0.0.1:0'],
      ...['--credential-provider-config', file],
      ...['--credential-provider-bin-dir', directory.path],
    ],
  })
  const { code } = await driver.exited
  expect(code).not.toBe(0)
  expect(driver.output()).toMatch(message)
})
