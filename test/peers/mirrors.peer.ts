import { readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { beforeAll, describe, expect, test } from 'vitest'
import { put } from '../common/oci/hosts-fixture.ts'
import { artifact, push } from '../support/artifact.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startProcess } from '../support/process.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts'
import { DOCKER_REGISTRY, startDockerRegistry } from './docker-registry.ts'
import { buildGoProgram } from './go-program.ts'

const why = await whyNoProgram('go', DOCKER_REGISTRY)
const CONTENT = Buffer.alloc(8 * 1024 * 1024 + 7, 'eight MiB and a little. ')
const BUILT = artifact({ layers: [{ title: 'big', content: CONTENT }] })
const NAME = 'reg.test:5000/acme/app:v1'

/** Pulls {@link NAME} as the driver would, by the hosts.toml of that registry, and gives what was laid out. */
async function pull(directory: TemporaryDirectory): Promise<Buffer> {
  const target = directory.file('out')
  await using cli = startProcess({
    args: ['cli/main.ts', 'pull', NAME, target, '--hosts-directory', directory.file('hosts')],
    env: { HOME: directory.path },
  })
  const { code } = await cli.exited
  expect(code, cli.output()).toBe(0)
  return readFile(directory.file('out', 'big'))
}

test('a private authority and a client certificate: docker-registry over TLS', async (context) => {
  skipUnless(context, why)
  await using directory = await temporaryDirectory()
  const storage = directory.file('storage')
  {
    await using plain = await startDockerRegistry({ storage })
    await push(plain.url, 'acme/app:v1', BUILT)
  }
  const authority = await createCertificateAuthority()
  const server = await authority.issue({ names: ['127.0.0.1'] })
  const client = await authority.issue({ names: ['node'] })
  const files = { ca: authority.cert, cert: server.cert, key: server.key }
  for (const [name, text] of Object.entries(files)) await writeFile(directory.file(name), text)
  await using registry = await startDockerRegistry({
    storage,
    tls: {
      certificate: directory.file('cert'),
      key: directory.file('key'),
      clientcas: [directory.file('ca')],
    },
  })
  await put(directory, 'hosts/reg.test_5000_/ca.crt', authority.cert)
  await put(directory, 'hosts/reg.test_5000_/client.cert', client.cert)
  await put(directory, 'hosts/reg.test_5000_/client.key', client.key)
  const toml = `server = "${registry.url}"\nca = "ca.crt"\n`
  const withClient = `${toml}client = [["client.cert", "client.key"]]`
  await put(directory, 'hosts/reg.test_5000_/hosts.toml', withClient)
  expect((await pull(directory)).equals(CONTENT)).toBe(true)

  // It does want the certificate.
  await put(directory, 'hosts/reg.test_5000_/hosts.toml', toml)
  await using refused = startProcess({
    args: ['cli/main.ts', 'registry', 'check', NAME, '--hosts-directory', directory.file('hosts')],
    env: { HOME: directory.path },
  })
  expect((await refused.exited).code, refused.output()).toBe(1)
})

describe('distribution v3 as a pull-through mirror of docker-registry', () => {
  let program = ''
  beforeAll(async () => {
    if (why === undefined) program = await buildGoProgram('registry')
  })

  test('serves what is pulled, and the server is not asked for it', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await using server = await startDockerRegistry()
    await push(server.url, 'acme/app:v1', BUILT)
    await using mirror = await startDockerRegistry({ program, remoteUrl: server.url })
    await put(
      directory,
      'hosts/reg.test_5000_/hosts.toml',
      // Whoever reads the log below is not to find our own requests in it.
      `server = "http://127.0.0.1:1"\n[host."${mirror.url}"]\noras_authoritative = true`,
    )
    expect((await pull(directory)).equals(CONTENT)).toBe(true)
    expect(mirror.output()).toMatch(/GET \/v2\/acme\/app\/manifests\/[^ ]*ns=reg\.test%3A5000/)
    expect(mirror.output()).toMatch(/GET \/v2\/acme\/app\/blobs\/[^ ]*ns=reg\.test%3A5000/)
  })

  test('dies in the middle of a blob: the rest comes from the server', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await using server = await startDockerRegistry()
    await push(server.url, 'acme/app:v1', BUILT)
    await using mirror = await startDockerRegistry({ program, remoteUrl: server.url })
    await using relay = await startRelay(mirror.host, CONTENT.length / 2)
    await put(
      directory,
      'hosts/reg.test_5000_/hosts.toml',
      `server = "${server.url}"\n[host."${relay.url}"]\ncapabilities = ["pull"]`,
    )
    const pulled = pull(directory)
    await relay.full
    await mirror[Symbol.asyncDispose]()
    await relay[Symbol.asyncDispose]()
    expect((await pulled).equals(CONTENT)).toBe(true)
    expect(server.output()).toMatch(/GET \/v2\/acme\/app\/blobs\/[^ ]*ns=reg\.test%3A5000/)
  })
})

/** A link to a server that carries so many bytes from there and then nothing more. */
async function startRelay(host: string, bytes: number) {
  const [name = '', port] = host.split(':')
  const { promise: full, resolve: fill } = Promise.withResolvers<void>()
  const sockets = new Set<Socket>()
  let left = bytes
  const relay = createServer((socket) => {
    const onward = connect(Number(port), name)
    for (const one of [socket, onward]) {
      sockets.add(one)
      one.on('error', () => one.destroy())
    }
    socket.pipe(onward)
    onward.on('data', (chunk: Buffer) => {
      socket.write(chunk.subarray(0, left))
      left = Math.max(0, left - chunk.length)
      if (left > 0) return
      onward.pause()
      fill()
    })
    onward.on('end', () => socket.end())
  })
  await new Promise<void>((done) => relay.listen(0, '127.0.0.1', done))
  const { port: own } = relay.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${own}`,
    full,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((done) => {
        relay.close(() => done())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
