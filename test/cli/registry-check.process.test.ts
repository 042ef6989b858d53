import { chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { put } from '../common/oci/hosts-fixture.ts'
import { artifact, load } from '../support/artifact.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startProcess } from '../support/process.ts'
import { startProxy } from '../support/proxy.ts'
import { type RegistryOptions, startRegistry, type TestRegistry } from '../support/registry.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const BUILT = artifact({ layers: [{ title: 'a', content: 'layer' }] })
const OTHER = artifact({ layers: [{ title: 'a', content: 'stale' }] })
const SECRETS = ['sesame', 'hunter2', 'BEGIN']
const TYPE = `(application/vnd.oci.image.manifest.v1+json, ${BUILT.manifest.length} bytes)`

/** Runs the check of `reg.test:5000/acme/app:v1` with a mirror and a server that a hosts.toml names; MIRROR, SERVER, DIR and TIME stand for them. */
async function check(options: {
  readonly server?: RegistryOptions
  readonly toml: (hosts: { readonly mirror: TestRegistry; readonly server: TestRegistry }) => string
  readonly files?: Readonly<Record<string, string>>
  readonly prepare?: (mirror: TestRegistry, server: TestRegistry) => void
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}) {
  await using directory = await temporaryDirectory()
  await using mirror = await startRegistry()
  await using server = await startRegistry(options.server)
  for (const registry of [mirror, server]) load(registry, 'acme/app:v1', BUILT)
  options.prepare?.(mirror, server)
  await put(directory, 'reg.test:5000/hosts.toml', options.toml({ mirror, server }))
  for (const [name, text] of Object.entries(options.files ?? {})) {
    await put(directory, `reg.test:5000/${name}`, text)
  }
  const auth = Buffer.from('alice:sesame').toString('base64')
  const config = JSON.stringify({ auths: { 'reg.test:5000': { auth } } })
  const docker = await put(directory, 'docker/config.json', config)
  await using cli = startProcess({
    args: [
      ...['cli/main.ts', 'registry', 'check', 'reg.test:5000/acme/app:v1'],
      ...['--hosts-directory', directory.path, '--docker-config', docker],
      ...(options.flags ?? []),
    ],
    env: { HOME: directory.path, ...options.env },
  })
  const { code } = await cli.exited
  const raw = cli.lines.map(({ text }) => text)
  expect(SECRETS.filter((secret) => raw.join('\n').includes(secret))).toStrictEqual([])
  const text = raw.map((line) =>
    line
      .replaceAll(mirror.host, 'MIRROR')
      .replaceAll(server.host, 'SERVER')
      .replaceAll(directory.path, 'DIR')
      .replace(/\d+\.\d{3} s/, 'TIME'),
  )
  return { code, text }
}

const PROVIDER_API_VERSION = 'credentialprovider.kubelet.k8s.io/v1'
const ROBOT = {
  kind: 'CredentialProviderResponse',
  apiVersion: PROVIDER_API_VERSION,
  cacheKeyType: 'Image',
  auth: { 'reg.test:5000': { username: 'robot', password: 'hunter2' } },
}

/** Credential providers by their name, each a line of shell, and the flags that name them; `other` is asked about another registry. */
async function providers(scripts: Readonly<Record<string, string>>) {
  const directory = await temporaryDirectory()
  const names = Object.keys(scripts).toSorted()
  for (const name of names) {
    const program = await put(directory, `bin/${name}`, `#!/bin/sh\n${scripts[name]}\n`)
    await chmod(program, 0o755)
  }
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: names.map((name) => ({
      name,
      apiVersion: PROVIDER_API_VERSION,
      matchImages: [name === 'other' ? 'other.test' : 'reg.test:5000'],
      defaultCacheDuration: '0s',
    })),
  }
  const file = await put(directory, 'providers.json', JSON.stringify(config))
  return {
    directory: directory.path,
    flags: [
      `--credential-provider-config=${file}`,
      `--credential-provider-bin-dir=${directory.file('bin')}`,
    ],
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

describe('oras-csi registry check', () => {
  test('explains each step: a mirror for content only, and a private server over TLS', async () => {
    const authority = await createCertificateAuthority()
    const [pair, client] = [
      await authority.issue({ names: ['127.0.0.1'] }),
      await authority.issue({ names: ['node'] }),
    ]
    const { code, text } = await check({
      server: {
        tls: { ...pair, clientCa: authority.cert },
        auth: { kind: 'bearer', users: { alice: 'sesame' } },
      },
      toml: ({ mirror, server }) =>
        `server = "${server.url}"\nca = "ca.crt"\nclient = "client.pem"\nskip_verfy = true\n[host."${mirror.url}"]\ncapabilities = ["pull"]\nheader = { X-Token = "hunter2" }`,
      files: { 'ca.crt': authority.cert, 'client.pem': client.cert + client.key },
    })
    const manifest = `/v2/acme/app/manifests`
    expect(text).toStrictEqual([
      'reg.test:5000/acme/app:v1',
      '',
      '   hosts      DIR/reg.test:5000/hosts.toml',
      '              looked for DIR/reg.test_5000_',
      '   warning    line 4: "skip_verfy" is not a setting and has no effect; did you mean "skip_verify"?',
      '',
      '1. mirror http://MIRROR',
      '   asked for  content; its answer proves no access',
      '   trust      none: plain HTTP',
      '   address    127.0.0.1 (local)',
      '   headers    x-token',
      '   may send   anonymous access',
      `   request    GET http://MIRROR${manifest}/${BUILT.digest}`,
      '              -> 200 OK in TIME',
      `   names      ${BUILT.digest} ${TYPE}`,
      '',
      '2. server https://SERVER',
      '   asked for  tags and content; its answer proves access',
      "   trust      the system's authorities and DIR/reg.test:5000/ca.crt; shows DIR/reg.test:5000/client.pem if asked",
      '   address    127.0.0.1 (local)',
      '   may send   DIR/docker/config.json, anonymous access',
      `   request    GET https://SERVER${manifest}/v1`,
      '              -> 401 Unauthorized in TIME',
      '                 asks for Bearer: a token from https://SERVER/token for "registry.test"',
      '   request    GET https://SERVER/token with Basic',
      '              -> 200 OK in TIME',
      `   request    GET https://SERVER${manifest}/v1 with Bearer`,
      '              -> 200 OK in TIME',
      `   names      ${BUILT.digest} ${TYPE}`,
      '',
      'The driver can pull this.',
      `"v1" means ${BUILT.digest}, says "https://SERVER".`,
      'That the pod may read it is proved by "https://SERVER", with the credentials of DIR/docker/config.json.',
      'The bytes are asked of "http://MIRROR" first.',
    ])
    expect(code).toBe(0)
  })

  test('says what fails where, and fails when nothing works', async () => {
    const { code, text } = await check({
      server: { auth: { kind: 'basic', users: { alice: 'changed' } } },
      toml: ({ mirror, server }) => `server = "${server.url}"\n[host."${mirror.url}"]`,
      prepare: (mirror) => {
        mirror.fault({ path: '/v2/*' }, { kind: 'status', status: 502, body: 'hunter2' })
      },
    })
    expect(text.filter((line) => /fails|->|asks|driver|Nobody/.test(line))).toStrictEqual([
      '              -> 502 Bad Gateway in TIME',
      '   fails      registry answered 502 Bad Gateway',
      '              -> 401 Unauthorized in TIME',
      '                 asks for Basic: user and password',
      '              -> 401 Unauthorized in TIME',
      '                 asks for Basic: user and password',
      '              -> 401 Unauthorized in TIME',
      '                 asks for Basic: user and password',
      '   fails      registry answered 401 Unauthorized (UNAUTHORIZED); tried DIR/docker/config.json, anonymous access',
      'The driver cannot pull this.',
      'Nobody who may say so says what "v1" means.',
      'Nobody whose answer counts proves that the pod may read it.',
    ])
    expect(code).toBe(1)
  })

  test('warns of a mirror that lags behind', async () => {
    const { code, text } = await check({
      toml: ({ mirror, server }) => `server = "${server.url}"\n[host."${mirror.url}"]`,
      prepare: (mirror) => load(mirror, 'acme/app:v1', OTHER),
    })
    expect(text.slice(-5)).toStrictEqual([
      'The driver cannot pull this.',
      `"v1" means ${OTHER.digest}, says "http://MIRROR".`,
      'Nobody whose answer counts proves that the pod may read it.',
      'The bytes are asked of "http://MIRROR" first.',
      `Beware: to "http://SERVER" it means ${BUILT.digest}.`,
    ])
    expect(code).toBe(1)
  })

  test('a mirror that lags behind does no harm while the server still has what it names', async () => {
    const { code, text } = await check({
      toml: ({ mirror, server }) => `server = "${server.url}"\n[host."${mirror.url}"]`,
      prepare: (mirror, server) => {
        load(mirror, 'acme/app:v1', OTHER)
        load(server, 'acme/app:old', OTHER)
      },
    })
    expect(text.slice(-5)).toStrictEqual([
      'The driver can pull this.',
      `"v1" means ${OTHER.digest}, says "http://MIRROR".`,
      'That the pod may read it is proved by "http://SERVER", to anyone.',
      'The bytes are asked of "http://MIRROR" first.',
      `Beware: to "http://SERVER" it means ${BUILT.digest}.`,
    ])
    expect(code).toBe(0)
  })

  test('through a proxy, as JSON, without a secret', async () => {
    await using proxy = await startProxy({ resolve: () => address })
    let address = ''
    const { code, text } = await check({
      toml: ({ server }) => {
        address = server.host
        return 'server = "http://reg.example.test"'
      },
      flags: ['--json'],
      env: { HTTP_PROXY: proxy.url.replace('//', '//user:hunter2@') },
    })
    const { verdict, hosts, configuration } = JSON.parse(text.join('\n'))
    expect([code, verdict.works, configuration]).toStrictEqual([
      0,
      true,
      'DIR/reg.test:5000/hosts.toml',
    ])
    expect(hosts).toMatchObject([
      {
        name: 'http://reg.example.test',
        role: 'server',
        proxy: proxy.url,
        addresses: [],
        requests: [{ method: 'GET', status: 200, proxy: proxy.url }],
        names: { digest: BUILT.digest },
      },
    ])
    expect(proxy.requests).toStrictEqual([
      {
        line: 'GET http://reg.example.test/v2/acme/app/manifests/v1?ns=reg.test%3A5000',
        authorization: `Basic ${Buffer.from('user:hunter2').toString('base64')}`,
      },
    ])
  })

  test('runs the credential providers that the driver is given, and says what they said', async () => {
    await using programs = await providers({
      cloud: `echo '${JSON.stringify(ROBOT)}'`,
      broken: 'echo "E: password=hunter2" >&2; exit 3',
      other: 'exit 4',
    })
    const { code, text } = await check({
      server: { auth: { kind: 'basic', users: { robot: 'hunter2' } } },
      toml: ({ server }) => `server = "${server.url}"`,
      flags: programs.flags,
    })
    expect(
      text.filter((line) => /programs|may send|program |with|means|proved/.test(line)),
    ).toEqual([
      '   programs   credential providers "broken", "cloud", "other": run as the driver does, with this environment',
      '   may send   DIR/docker/config.json, what credential providers answer, anonymous access',
      `   request    GET http://SERVER/v2/acme/app/manifests/v1 with Basic`,
      `   request    GET http://SERVER/v2/acme/app/manifests/v1 with Basic`,
      '   program    credential provider "broken" (exit code 3) for reg.test:5000',
      '   program    credential provider "cloud" has credentials for reg.test:5000',
      `"v1" means ${BUILT.digest}, says "http://SERVER".`,
      'That the pod may read it is proved by "http://SERVER", to every pod of the node, by its credential provider "cloud".',
    ])
    expect(text.flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []))).toMatchObject([
      {
        ...{ level: 'warn', msg: 'credential provider failed', provider: 'broken' },
        ...{ image: 'reg.test:5000/acme/app', why: 'exit code 3' },
        stderr: 'E: password=[hidden]',
      },
    ])
    expect(code).toBe(0)
  })

  test('fails before it asks anybody when a program is not there', async () => {
    await using programs = await providers({ cloud: 'exit 0' })
    await rm(join(programs.directory, 'bin/cloud'))
    const { code, text } = await check({
      toml: ({ server }) => `server = "${server.url}"`,
      flags: programs.flags,
    })
    expect([code, text]).toStrictEqual([
      2,
      [
        `Cannot run the program "${programs.directory}/bin/cloud" of the credential provider "cloud": ENOENT`,
      ],
    ])
  })

  test('a registry that nothing is configured for, at an address that only the admin may name', async () => {
    await using directory = await temporaryDirectory()
    await using cli = startProcess({
      args: [
        'cli/main.ts',
        'registry',
        'check',
        '127.0.0.1:1/a:b',
        '--hosts-directory',
        directory.path,
      ],
      env: { HOME: directory.path },
    })
    expect((await cli.exited).code).toBe(1)
    expect(
      cli.lines.map(({ text }) => text.replaceAll(directory.path, 'DIR')).slice(2, 14),
    ).toStrictEqual([
      '   hosts      nothing is configured for this registry: verified TLS to its own name',
      '              looked for DIR/127.0.0.1_1_',
      '              looked for DIR/127.0.0.1:1',
      '              looked for DIR/_default',
      '',
      '1. server https://127.0.0.1:1',
      '   asked for  tags and content; its answer proves access',
      "   trust      the system's authorities",
      '   address    127.0.0.1 (local)',
      '   may send   anonymous access',
      '   request    GET https://127.0.0.1:1/v2/a/manifests/b',
      '              -> "https://127.0.0.1:1" is at a loopback, link-local or private address that this registry may not lead to; an admin can allow it by a hosts.toml for the registry',
    ])
  })
})
