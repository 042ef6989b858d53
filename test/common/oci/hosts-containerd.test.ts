import { expect, test } from 'vitest'
import { nameOfHost } from '../../../common/oci/host-name.ts'
import { createHosts } from '../../../common/oci/hosts.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { put } from './hosts-fixture.ts'

/**
 * The cases of containerd's page about host directories, with names of our own: which file is read for a registry, and which hosts
 * are asked, in order, with which `?ns=`, for what.
 *
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
const CASES: readonly (readonly [
  name: string,
  files: Readonly<Record<string, string>>,
  registry: string,
  hosts: readonly string[],
])[] = [
  [
    'a host that is the API of the server: Docker Hub',
    {
      'docker.io/hosts.toml':
        'server = "https://docker.io"\n[host."https://registry-1.docker.io"]\ncapabilities = ["pull", "resolve"]',
    },
    'docker.io',
    ['https://registry-1.docker.io pull resolve server', 'https://docker.io pull resolve server'],
  ],
  [
    'a public mirror that must not resolve tags, and one of the house',
    {
      'docker.io/hosts.toml':
        'server = "https://registry-1.docker.io"\n[host."https://mirror.example.org"]\ncapabilities = ["pull"]\n[host."https://mirror.example.internal"]\ncapabilities = ["pull", "resolve"]\nca = "mirror.crt"',
      'docker.io/mirror.crt': 'CA',
    },
    'docker.io',
    [
      'https://mirror.example.org pull ns=docker.io',
      'https://mirror.example.internal pull resolve ns=docker.io +ca',
      'https://registry-1.docker.io pull resolve server',
    ],
  ],
  [
    'one mirror for all registries, and then each itself',
    {
      '_default/hosts.toml':
        '[host."https://mirror.example.org"]\ncapabilities = ["pull", "resolve"]',
    },
    'quay.io',
    ['https://mirror.example.org pull resolve ns=quay.io', 'https://quay.io pull resolve server'],
  ],
  [
    'a mirror in the place of every server, so that nothing else is asked',
    { '_default/hosts.toml': 'server = "https://mirror.example.org"' },
    'quay.io',
    ['https://mirror.example.org pull resolve ns=quay.io server'],
  ],
  [
    'a proxy for a registry, and another one for its mirror',
    {
      'reg.example.org/hosts.toml':
        'server = "https://reg.example.org"\nproxy = "http://proxy-a:8080"\n[host."https://mirror.example.org"]\ncapabilities = ["pull", "resolve"]\nproxy = "http://proxy-b:8080"',
    },
    'reg.example.org',
    [
      'https://mirror.example.org pull resolve ns=reg.example.org proxy=http://proxy-b:8080/',
      'https://reg.example.org pull resolve server proxy=http://proxy-a:8080/',
    ],
  ],
  [
    'a mirror over plain HTTP at a private address',
    {
      'docker.io/hosts.toml':
        'server = "https://registry-1.docker.io"\n[host."http://192.168.7.7:5000"]\ncapabilities = ["pull", "resolve", "push"]\nskip_verify = true',
    },
    'docker.io',
    [
      'http://192.168.7.7:5000 pull resolve ns=docker.io +skip_verify',
      'https://registry-1.docker.io pull resolve server',
    ],
  ],
  [
    'a registry with a port: host_port_ before host:port before _default',
    {
      'reg.example.org_5000_/hosts.toml': 'server = "https://first"',
      'reg.example.org:5000/hosts.toml': 'server = "https://second"',
      '_default/hosts.toml': 'server = "https://third"',
    },
    'reg.example.org:5000',
    ['https://first pull resolve ns=reg.example.org:5000 server'],
  ],
  [
    'a directory that is there and says nothing keeps _default out',
    { 'reg.example.org/README': '', '_default/hosts.toml': 'server = "https://third"' },
    'reg.example.org',
    ['https://reg.example.org pull resolve server'],
  ],
  [
    'the long list: paths, several authorities, each form of client certificates, an API root of its own',
    {
      'reg.example.org/hosts.toml': `
[host."https://m1.example.org"]
  capabilities = ["pull"]
  ca = "one.crt"
  skip_verify = false
  [host."https://m1.example.org".header]
    x-custom-2 = ["value1", "value2"]
[host."https://m2.example.org/us"]
  capabilities = ["pull"]
  skip_verify = true
[host."http://m1.example.org"]
  capabilities = ["pull"]
[host."https://m3.example.org"]
  capabilities = ["pull", "resolve", "push"]
  ca = ["one.crt", "two.crt"]
  client = [["client.cert", "client.key"], ["client.pem", ""]]
[host."https://m4.example.org"]
  client = "client.pem"
[host."https://m5.example.org"]
  client = ["client.pem", "client.pem"]
[host."https://m6.example.org/v2/upstream"]
  capabilities = ["pull"]
  override_path = true
`,
      'reg.example.org/one.crt': 'CA',
      'reg.example.org/two.crt': 'CA',
      'reg.example.org/client.cert': 'CERT',
      'reg.example.org/client.key': 'KEY',
      'reg.example.org/client.pem': 'BOTH',
    },
    'reg.example.org',
    [
      'https://m1.example.org pull ns=reg.example.org +ca x-custom-2: value1, value2',
      'https://m2.example.org/us/v2 pull ns=reg.example.org +skip_verify',
      'http://m1.example.org pull ns=reg.example.org',
      'https://m3.example.org pull resolve ns=reg.example.org +ca +ca +client +client',
      'https://m4.example.org pull resolve ns=reg.example.org +client',
      'https://m5.example.org pull resolve ns=reg.example.org +client +client',
      'https://m6.example.org/v2/upstream pull ns=reg.example.org',
      'https://reg.example.org pull resolve server',
    ],
  ],
]

test.each(CASES)('%s', async (_, files, registry, expected) => {
  await using directory = await temporaryDirectory()
  const authority = await createCertificateAuthority()
  const { cert, key } = await authority.issue({ names: ['client'] })
  const contents: Readonly<Record<string, string>> = {
    ...{ CA: authority.cert, CERT: cert, KEY: key, BOTH: cert + key },
  }
  for (const [path, text] of Object.entries(files)) {
    await put(directory, path, contents[text] ?? text)
  }
  const { hosts } = await createHosts({ directory: directory.path }).lookup(registry)
  const described = hosts.map((host) => {
    if (host.kind !== 'registry') return host.kind
    const { capabilities, namespace, tls, headers, proxy } = host
    return [
      nameOfHost(host),
      ...(capabilities.pull ? ['pull'] : []),
      ...(capabilities.resolve ? ['resolve'] : []),
      ...(namespace === undefined ? [] : [`ns=${namespace}`]),
      ...(host.authoritative && host.takesCredentials ? ['server'] : []),
      ...(proxy === undefined ? [] : [`proxy=${proxy}`]),
      ...(tls.verify ? [] : ['+skip_verify']),
      ...tls.ca.map(() => '+ca'),
      ...(tls.client ?? []).map(() => '+client'),
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ].join(' ')
  })
  expect(described).toStrictEqual(expected)
})
