import fc from 'fast-check'
import { parseAnnotations } from '../../common/composition/annotations.ts'
import { decodeAttributes } from '../../common/composition/attributes.ts'
import { createFileFilter } from '../../common/composition/file-filter.ts'
import { fileGlobProblem } from '../../common/composition/file-glob.ts'
import { parseChallenge } from '../../common/oci/challenge.ts'
import { parseDockerConfig } from '../../common/oci/credentials.ts'
import { digestOf } from '../../common/oci/digest.ts'
import { parseHostsFile } from '../../common/oci/hosts-file.ts'
import { parseLayoutIndex } from '../../common/oci/layout-index.ts'
import { parseManifest } from '../../common/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../common/oci/media-types.ts'
import { formatReference, parseReference } from '../../common/oci/reference.ts'
import { parseProviderConfig } from '../../driver/credentials/provider-config.ts'
import { parseProviderResponse } from '../../driver/credentials/provider-response.ts'
import { layout } from '../../driver/pull/layout/layout.ts'
import { parseMountinfo } from '../../driver/volume/mountinfo.ts'
import { artifact, directoryLayer, image, index } from '../support/artifact.ts'
import { tarOf } from '../support/tar.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import type { Random } from './random.ts'

const PROVIDER = { apiVersion: 'credentialprovider.kubelet.k8s.io/v1' } as const

/** Makes bytes of what fast-check generates. */
function generated(arbitrary: fc.Arbitrary<unknown>): (random: Random) => Uint8Array {
  return (random) => {
    const [value] = fc.sample(arbitrary, { seed: random.integer(2 ** 31), numRuns: 1 })
    return Buffer.from(JSON.stringify(value) ?? 'null')
  }
}

function textOf(input: Uint8Array): string {
  return Buffer.from(input).toString('utf8')
}

/** Mostly right, so that what is wrong elsewhere is reached. */
function mostly<T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.oneof({ arbitrary: right, weight: 12 }, { arbitrary: wrong, weight: 1 })
}

const digest = mostly(
  fc.constantFrom(digestOf('a'), digestOf('b', 'sha512')),
  fc.constantFrom('sha256:..', 'md5:1', ''),
)
const number = mostly(fc.nat(100), fc.oneof(fc.double(), fc.constantFrom(-1, 2 ** 53, '1')))
const name = fc.constantFrom('a', 'a/b', '../x', '/x', 'a\0', '', '.', 'n'.repeat(300))
const annotations = fc.dictionary(
  fc.constantFrom(
    ...['org.opencontainers.image.title', 'io.deis.oras.content.unpack', '__proto__'],
    ...['io.deis.oras.content.digest', 'org.cncf.model.filepath', 'constructor', 'Title'],
  ),
  fc.oneof(name, digest, fc.constantFrom('true', 'false')),
)
const descriptor = fc.record(
  {
    mediaType: fc.constantFrom(
      'text/plain',
      OCI_MANIFEST,
      'x',
      'application/vnd.oci.empty.v1+json',
    ),
    digest,
    size: number,
    annotations,
    data: mostly(fc.constant(undefined), fc.constantFrom('YQ==', '$', 'YQ')),
    urls: fc.array(fc.webUrl(), { maxLength: 2 }),
    platform: fc.record({ os: name, architecture: name, variant: name }, { requiredKeys: [] }),
  },
  { requiredKeys: ['digest', 'size', 'mediaType'] },
)
const manifest = fc.record(
  {
    schemaVersion: mostly(fc.constant(2), fc.constantFrom(1, '2')),
    mediaType: mostly(fc.constant(OCI_MANIFEST), fc.constantFrom(OCI_INDEX, 'text/html')),
    config: descriptor,
    layers: fc.array(descriptor, { maxLength: 4 }),
    Layers: mostly(fc.constant(undefined), fc.array(descriptor, { maxLength: 1 })),
    manifests: mostly(fc.constant(undefined), fc.array(descriptor, { maxLength: 4 })),
    annotations,
    rest: mostly(fc.constant(undefined), fc.jsonValue({ maxDepth: 40 })),
  },
  { requiredKeys: ['schemaVersion'] },
)

const REF_NAME = 'org.opencontainers.image.ref.name'
const listed = fc
  .tuple(descriptor, mostly(fc.constant('v1'), fc.jsonValue({ maxDepth: 1 })))
  .map(([entry, tag]) => ({ ...entry, annotations: { [REF_NAME]: tag } }))

function layoutEntry(tag: string) {
  return {
    ...{ mediaType: OCI_MANIFEST, digest: digestOf(tag), size: 7 },
    annotations: { [REF_NAME]: tag },
  }
}

/** Globs as hard to match as they may be, and a path that almost does. */
function globsAndPath(random: Random): Uint8Array {
  const text = (pieces: readonly string[], most: number) =>
    Array.from({ length: 1 + random.integer(most) }, () => random.pick(pieces)).join('')
  const globs = [
    '*',
    '**/',
    'a',
    '?',
    '/',
    '[a-c]',
    '[!b]',
    '*a',
    '**',
    'b',
    '{a,b}',
    '+(a|aa)',
    '!',
  ]
  const lines = Array.from({ length: 1 + random.integer(3) }, () => text(globs, 60))
  return Buffer.from([...lines, text(['a', 'a', 'aaaa', 'a/', 'b'], 400)].join('\n'))
}

/** The readers of text and JSON. */
export const DOCUMENT_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'manifest',
    seeds: [
      artifact({ layers: [{ title: 'f', content: 'x' }, directoryLayer('d', [])] }),
      image({ layers: [tarOf([])] }),
      index([image({ layers: [tarOf([])] })]),
    ].map((built) => built.manifest),
    generate: generated(manifest),
    run(input, random) {
      const parsed = parseManifest(input)
      if (parsed.kind === 'index') return
      const unpack = random.pick(['auto', 'always', 'never'] as const)
      layout(parsed, { unpack, modes: 'readable' })
    },
  },
  {
    name: 'layout-index',
    seeds: [
      { manifests: [layoutEntry('v1')] },
      { manifests: [layoutEntry('v1'), layoutEntry('v1'), layoutEntry('v2')] },
    ].map((index) => Buffer.from(JSON.stringify(index))),
    generate: generated(fc.record({ manifests: fc.array(listed, { maxLength: 4 }) })),
    run: (input) => void parseLayoutIndex(input, 1024 * 1024).find('v1'),
  },
  {
    name: 'reference',
    seeds: [
      'ghcr.io/acme/app:v1',
      'localhost:5000/a/b/c@sha256:'.padEnd(92, 'a'),
      '[::1]:5000/acme/app:v1.0-rc_1@sha512:'.padEnd(165, '0'),
      'docker.io/library/busybox',
    ].map((text) => Buffer.from(text)),
    run(input) {
      const reference = parseReference(textOf(input))
      const again = formatReference(parseReference(formatReference(reference)))
      if (again !== formatReference(reference)) throw new Error(`Read again, it is ${again}`)
    },
  },
  {
    name: 'annotations',
    seeds: [
      '/app: ghcr.io/acme/hello-jar:v1\n',
      '- reference: ghcr.io/acme/a:v1\n  mountPath: /a\n  containers: ["*", init:x]\n  pullPolicy: Always\n',
      '[{"reference":"ghcr.io/acme/a:v1","mountPath":"/a"}]',
      '{"/a": {"reference": "ghcr.io/acme/a:v1", "pullSecret": "s"}, "/b": "ghcr.io/acme/b:v1"}',
      'a: &x [1]\nb: *x\n',
    ].map((text) => Buffer.from(text)),
    generate: generated(fc.jsonValue()),
    run: (input) => void parseAnnotations({ 'oras.land/artifacts': textOf(input) }),
  },
  {
    name: 'attributes',
    seeds: [
      { 'oras.artifact.reference': 'oras://ghcr.io/acme/a', 'oras.options.pullalways': 't' },
      { 'oras.artifact.reference': 'ghcr.io/acme/a:v1', 'oras.artifact.files': '*.jar,!x/**' },
      { 'oras.sources': '[{"reference":"ghcr.io/acme/a:v1"},{"reference":"ghcr.io/acme/b:v1"}]' },
      { 'oras.artifact.layers.annotations': '{"a":"b*"}', 'oras.options.concurrency': '3' },
    ].map((attributes) => Buffer.from(JSON.stringify(attributes))),
    run(input) {
      const attributes = stringsOf(input)
      if (attributes !== undefined) decodeAttributes(attributes)
    },
  },
  {
    name: 'file-globs',
    seeds: [
      '*.jar\n!x/**\nlib/a.jar',
      '/a/*/[b-d]?.txt\na/b/c1.txt',
      '**/*a*a*a*a*b\na/aaaaaaaa',
    ].map((text) => Buffer.from(text)),
    generate: globsAndPath,
    run(input) {
      const globs = textOf(input).split('\n')
      const path = globs.pop() ?? ''
      const good = globs.slice(0, 8).filter((glob) => fileGlobProblem(glob) === undefined)
      if (good.length === 0) return
      const filter = createFileFilter(good)
      filter.selects(path, 'file')
      filter.reach(path)
    },
  },
  {
    name: 'mountinfo',
    seeds: [
      '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n',
      '37 35 0:5 / /a\\040b\\134 ro shared:1 master:2 - tmpfs tmp\\134fs rw\n40 35 0:6 / /c rw - x y z\n',
    ].map((text) => Buffer.from(text)),
    run: (input) => void parseMountinfo(textOf(input)),
  },
  {
    name: 'challenge',
    seeds: [
      'Bearer realm="https://auth.test/token",service="registry",scope="repository:a:pull"',
      'Basic realm="x\\"y", Bearer realm=z',
    ].map((text) => Buffer.from(text)),
    run: (input) => void parseChallenge(textOf(input)),
  },
  {
    name: 'pull-secret',
    seeds: [
      { auths: { 'ghcr.io': { auth: 'YTpi' }, 'https://index.docker.io/v1/': { username: 'a' } } },
      { auths: { '*.acme.test': { identitytoken: 'x', username: 'a', password: 'b' } } },
    ].map((config) => Buffer.from(JSON.stringify(config))),
    generate: generated(fc.jsonValue()),
    run: (input) =>
      void parseDockerConfig(input, { label: 'secret' }).lookup('a.acme.test', 'acme/app'),
  },
  {
    name: 'credential-providers',
    seeds: [
      'apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: a\n  matchImages: ["*.a"]\n  defaultCacheDuration: 1h\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n  env: [{name: A, value: &v b}, {name: B, value: *v}]\n',
    ].map((text) => Buffer.from(text)),
    run: (input) => void parseProviderConfig(textOf(input), 'providers.yaml'),
  },
  {
    name: 'credential-response',
    seeds: [
      {
        kind: 'CredentialProviderResponse',
        apiVersion: PROVIDER.apiVersion,
        cacheKeyType: 'Registry',
        cacheDuration: '1h30m',
        auth: { '*.acme.test': { username: 'a', password: 'b' } },
      },
    ].map((response) => Buffer.from(JSON.stringify(response))),
    generate: generated(fc.jsonValue()),
    run: (input) =>
      void parseProviderResponse(input, PROVIDER).keyring.lookup('a.acme.test', 'acme/app'),
  },
  {
    name: 'hosts-file',
    seeds: [
      'server = "https://a.test"\n[host."http://b.test:5000"]\n  capabilities = ["pull"]\n  skip_verify = true\n',
      'ca = "ca.crt"\n[host."https://m.test/v2/x"]\n  override_path = true\n',
    ].map((text) => Buffer.from(text)),
    run: (input) => void parseHostsFile(textOf(input), { path: '/hosts.toml' }),
  },
]

/** Attributes are strings of a gRPC message: whatever is a JSON object of strings. */
function stringsOf(input: Uint8Array): Record<string, string> | undefined {
  try {
    const value: unknown = JSON.parse(textOf(input))
    if (typeof value !== 'object' || value === null) return undefined
    return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]))
  } catch {
    return undefined
  }
}
