import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { isJsonObject, type JsonObject, objectAt } from '../../webhook/json.ts'
import { at, CHECKOUT, objectIn, objectName, objectNamed } from '../manifests/manifest-objects.ts'
import { objectChanges } from '../manifests/object-changes.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { CHART, helm, kustomized, templated } from './rendered.ts'

const why = await whyNoProgram('go')
const COMPONENTS = join(CHECKOUT, 'manifests/components')
/** Helm makes the namespace of a release itself, without labels, where it is asked to. */
const ON_PURPOSE = ['- Namespace oras-csi']

const SELF_SIGNED = { certificate: { source: 'self-signed' } }
const PROXY = 'http://proxy.example.com:3128'

/** Every component, and the values of the chart that make the same. */
const SAME: Readonly<Record<string, { values: object; files?: Readonly<Record<string, string>> }>> =
  {
    'self-signed': { values: SELF_SIGNED },
    openshift: { values: { openshift: true } },
    'tainted-nodes': {
      values: {
        webhook: {
          tolerations: [
            { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' },
            { key: 'CriticalAddonsOnly', operator: 'Exists' },
          ],
        },
      },
    },
    'chosen-nodes': { values: { driver: { nodeSelector: { 'oras.land/driver': 'enabled' } } } },
    'registry-mirror': {
      values: {},
      files: { 'hosts.files._default': 'registry-mirror/hosts.toml' },
    },
    'oci-layout': {
      values: { hosts: { layouts: ['/srv/artifacts'] } },
      files: { 'hosts.files.artifacts\\.internal': 'oci-layout/hosts.toml' },
    },
    policy: { values: {}, files: { policy: 'policy/policy.yaml' } },
    events: { values: { events: true } },
    'startup-taint': { values: { startupTaint: true } },
    proxy: { values: { proxy: { https: PROXY, http: PROXY } } },
    'kubelet-directory': { values: { driver: { kubeletDirectory: '/var/lib/k0s/kubelet' } } },
  }

describe.skipIf(why !== undefined)(`the chart${why === undefined ? '' : ` (${why})`}`, () => {
  // Both programs are compiled once.
  beforeAll(async () => {
    await kustomized()
    await helm('version')
  }, 1_800_000)

  test('makes without values what the base is', async () => {
    expect(objectChanges(normal(await kustomized()), normal(await templated()))).toEqual(ON_PURPOSE)
  })

  test('has values for every component', async () => {
    const there = await readdir(COMPONENTS, { withFileTypes: true })
    const names = there.filter((entry) => entry.isDirectory()).map(({ name }) => name)
    expect(Object.keys(SAME).sort()).toEqual(names.sort())
  })

  test.each(Object.keys(SAME))('makes with values what the component %s does', async (name) => {
    const expected = normal(await kustomized(name))
    const { values = {}, files = {} } = SAME[name] ?? {}
    const made = normal(await withValues(values, files))
    const changes = objectChanges(expected, made)
    expect(changes).toEqual(ON_PURPOSE)
  })

  test('makes with all values what all components do', async () => {
    const names = Object.keys(SAME).filter((name) => name !== 'registry-mirror')
    const expected = normal(await kustomized(...names))
    const all = names.map((name) => SAME[name])
    const values = {
      ...Object.assign({}, ...all.map((same) => same?.values)),
      driver: { ...driverOf('chosen-nodes'), ...driverOf('kubelet-directory') },
    }
    const files = Object.assign({}, ...all.map((same) => same?.files))
    const changes = objectChanges(expected, normal(await withValues(values, files)))
    expect(changes).toEqual(ON_PURPOSE)
  })

  test('is named in every object, but in no selector and no pod', async () => {
    const objects = await withValues(SELF_SIGNED, {})
    for (const object of objects) {
      expect([objectName(object), objectIn(object, 'metadata', 'labels')]).toEqual([
        objectName(object),
        expect.objectContaining({
          'app.kubernetes.io/managed-by': 'Helm',
          'helm.sh/chart': expect.stringMatching(/^oras-csi-\d+\.\d+\.\d+/),
        }),
      ])
    }
    const text = JSON.stringify(objects.map((object) => object['spec']))
    expect(text).not.toContain('helm.sh/chart')
    expect(text).not.toContain('managed-by')
  })

  test('lives in the namespaces that it is given, everywhere', async () => {
    const values = {
      driver: { namespace: 'there' },
      webhook: { excludedNamespaces: ['kube-public'] },
      ...SELF_SIGNED,
    }
    const objects = await withValues(values, {}, 'here')
    const text = JSON.stringify(objects)
    expect(text).not.toMatch(/"(?:namespace":"oras-csi|--namespace=oras-csi|oras-csi\/)/)
    expect(text).toContain('--namespace=here')
    const selector = { operator: 'NotIn', key: 'kubernetes.io/metadata.name' }
    for (const kind of ['Mutating', 'Validating']) {
      const configuration = objectNamed(objects, `${kind}WebhookConfiguration oras-csi`)
      const [first] = Object(at(configuration, 'webhooks', 0, 'namespaceSelector')).matchExpressions
      expect(first).toEqual({
        ...selector,
        values: ['kube-system', 'kube-node-lease', 'here', 'there', 'kube-public'],
      })
    }
    const certificate = await withValues({ driver: { namespace: 'there' } }, {}, 'here')
    expect(
      at(objectNamed(certificate, 'Certificate here/oras-csi-webhook'), 'spec', 'dnsNames'),
    ).toEqual(['oras-csi-webhook.here.svc'])
  })

  test('runs the image that it is told, with secrets and flags', async () => {
    const digest = `sha256:${'a'.repeat(64)}`
    const objects = await withValues(
      {
        image: {
          repository: 'mirror.example.com/oras-csi',
          tag: '1.2.3',
          digest,
          pullPolicy: 'Never',
        },
        imagePullSecrets: ['mirror'],
        driver: { flags: { 'max-downloads': '16', 'max-entries': '2000000' } },
        webhook: { flags: { 'shutdown-grace': '20s' }, replicas: 3 },
        ...SELF_SIGNED,
      },
      {},
    )
    const images = JSON.stringify(objects).match(/"image":"[^"]+"/g)
    expect(images).toEqual(Array(4).fill(`"image":"mirror.example.com/oras-csi:1.2.3@${digest}"`))
    expect(JSON.stringify(objects).match(/"imagePullSecrets":\[{"name":"mirror"}\]/g)).toHaveLength(
      4,
    )
    const driver = objectNamed(objects, 'DaemonSet oras-csi-node/oras-csi-driver')
    const container = objectIn(driver, 'spec', 'template', 'spec', 'containers', 0)
    expect(container['imagePullPolicy']).toBe('Never')
    expect(Object(container['args']).slice(-2)).toEqual([
      '--max-downloads=16',
      '--max-entries=2000000',
    ])
    const webhook = objectNamed(objects, 'Deployment oras-csi/oras-csi-webhook')
    expect(at(webhook, 'spec', 'replicas')).toBe(3)
    expect(at(webhook, 'spec', 'template', 'spec', 'containers', 0, 'args')).toContain(
      '--shutdown-grace=20s',
    )
  })

  test('gives a registry with a port the directory that containerd would read', async () => {
    const files = { 'registry.example.com:5000': 'server = "http://10.0.0.1:5000"\n' }
    const objects = await withValues({ hosts: { files } }, {})
    const map = objectNamed(objects, 'ConfigMap oras-csi-node/oras-csi-hosts')
    expect(map['data']).toEqual({ 'registry.example.com_5000': files['registry.example.com:5000'] })
    const driver = objectNamed(objects, 'DaemonSet oras-csi-node/oras-csi-driver')
    const [hosts] = Object(at(driver, 'spec', 'template', 'spec', 'volumes')).filter(
      ({ name }: JsonObject) => name === 'hosts',
    )
    expect(hosts.configMap.items).toEqual([
      { key: 'registry.example.com_5000', path: 'registry.example.com_5000_/hosts.toml' },
    ])
  })

  test('is packaged under the version of a release, and runs that version', async () => {
    await using directory = await temporaryDirectory()
    const versions = ['--version', '9.8.7', '--app-version', '9.8.7']
    await helm('package', CHART, ...versions, '--destination', directory.path)
    const packed = directory.file('oras-csi-9.8.7.tgz')
    const images = (await helm('template', 'x', packed, '--namespace', 'y')).match(/image: .*/g)
    expect(images).toEqual(Array(2).fill('image: ghcr.io/oras-csi/oras-csi:9.8.7'))
  })

  test('has nothing that helm lint finds fault with', async () => {
    expect(await helm('lint', CHART, '--strict')).toContain('1 chart(s) linted, 0 chart(s) failed')
  })

  test.each([
    { set: 'webhok.replicas=2', says: "'webhok' not allowed" },
    { set: 'webhook.replica=2', says: "'replica' not allowed" },
    { set: 'webhook.replicas=0', says: 'webhook/replicas' },
    { set: 'certificate.source=selfsigned', says: 'certificate/source' },
    { set: 'driver.kubeletDirectory=var/lib', says: 'driver/kubeletDirectory' },
    { set: 'driver.kubeletDirectory=/var/lib/kubelet/', says: 'driver/kubeletDirectory' },
    { set: 'driver.flags.maxDownloads=x', says: "invalid propertyName 'maxDownloads'" },
    { set: 'driver.flags.max-downloads=16', says: 'driver/flags/max-downloads' },
    { set: 'driver.resources.limit.memory=1Gi', says: "'limit' not allowed" },
    { set: 'image.digest=abc', says: 'image/digest' },
    { set: 'hosts.files.a/b=x', says: "invalid propertyName 'a/b'" },
    {
      set: 'driver.namespace=oras-csi',
      says: 'driver.namespace "oras-csi" is that of the release',
    },
  ])('refuses --set $set', async ({ set, says }) => {
    const args = ['template', 'oras-csi', CHART, '--namespace', 'oras-csi', '--set', set]
    expect(await helm(...args)).toContain(says)
  })
})

function driverOf(name: string): object {
  return Object(Object(SAME[name]?.values).driver)
}

/** @param files values that are files below the components, as `--set-file` takes them */
async function withValues(
  values: object,
  files: Readonly<Record<string, string>>,
  namespace?: string,
): Promise<readonly JsonObject[]> {
  await using directory = await temporaryDirectory()
  await writeFile(directory.file('values.yaml'), JSON.stringify(values))
  const fromFiles = Object.entries(files).flatMap(([key, path]) => [
    '--set-file',
    `${key}=${join(COMPONENTS, path)}`,
  ])
  const args = ['--values', directory.file('values.yaml'), ...fromFiles]
  return await templated(...args, ...(namespace === undefined ? [] : ['--namespace', namespace]))
}

/** Without the labels that Helm's objects have besides, and without what stands in names for their content. */
function normal(objects: readonly JsonObject[]): readonly JsonObject[] {
  return objects.map((object) => {
    const text = JSON.stringify(sorted(object))
    const named: JsonObject = JSON.parse(text.replaceAll(/(oras-csi-proxy)-[0-9a-z]{10}\b/g, '$1'))
    const metadata = objectAt(named, 'metadata') ?? {}
    const {
      'app.kubernetes.io/managed-by': _,
      'helm.sh/chart': __,
      ...labels
    } = objectAt(metadata, 'labels') ?? {}
    const { name } = metadata
    const jobName = named['kind'] === 'Job' ? String(name).replace(/-[0-9a-f]{8}$/, '') : name
    return sorted({ ...named, metadata: { ...metadata, name: jobName, labels } })
  })
}

/** Keys in order, all the way down. */
function sorted<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value, (_, part: unknown) =>
      isJsonObject(part) ? Object.fromEntries(Object.entries(part).sort()) : part,
    ),
  )
}
