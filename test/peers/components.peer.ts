import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../webhook/json.ts'
import { at, CHECKOUT, objectIn, objectName, objectNamed } from '../manifests/manifest-objects.ts'
import { objectChanges } from '../manifests/object-changes.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { kustomized } from './rendered.ts'

const why = await whyNoProgram('go')
const DRIVER = 'DaemonSet oras-csi-node/oras-csi-driver: spec.template.spec'
const WEBHOOK = 'Deployment oras-csi/oras-csi-webhook: spec.template.spec'
const LAYOUT_MOUNT = {
  name: 'artifacts',
  mountPath: '/srv/artifacts',
  readOnly: true,
  mountPropagation: 'HostToContainer',
}
const POLICY_MOUNT = { mountPath: '/etc/oras-csi/policy', name: 'policy', readOnly: true }

/** Every component, and all that it changes. */
const CHANGES: Readonly<Record<string, readonly string[]>> = {
  'self-signed': [
    '+ ClusterRole oras-csi-certificate',
    '+ ClusterRoleBinding oras-csi-certificate',
    '+ CronJob oras-csi/oras-csi-certificate',
    '+ Job oras-csi/oras-csi-certificate',
    '+ Role oras-csi/oras-csi-certificate',
    '+ RoleBinding oras-csi/oras-csi-certificate',
    '+ Secret oras-csi/oras-csi-webhook-self-signed',
    '+ ServiceAccount oras-csi/oras-csi-certificate',
    '- Certificate oras-csi/oras-csi-authority',
    '- Certificate oras-csi/oras-csi-webhook',
    '- Issuer oras-csi/oras-csi-authority',
    '- Issuer oras-csi/oras-csi-self-signed',
    `${WEBHOOK}.volumes.certificate.secret.secretName = "oras-csi-webhook-self-signed"`,
    'MutatingWebhookConfiguration oras-csi: metadata.annotations gone',
    'ValidatingWebhookConfiguration oras-csi: metadata.annotations gone',
  ],
  openshift: [
    '+ RoleBinding oras-csi-node/oras-csi-driver-privileged',
    `${WEBHOOK}.securityContext.runAsGroup gone`,
    `${WEBHOOK}.securityContext.runAsUser gone`,
    ...['Namespace oras-csi-node', 'Namespace oras-csi'].flatMap((name) => [
      `${name}: metadata.annotations = {"openshift.io/node-selector":""}`,
      `${name}: metadata.labels.security.openshift.io/scc.podSecurityLabelSync = "false"`,
    ]),
  ],
  'tainted-nodes': [
    `${WEBHOOK}.tolerations = [{"key":"node-role.kubernetes.io/control-plane","operator":"Exists"},{"key":"CriticalAddonsOnly","operator":"Exists"}]`,
  ],
  'chosen-nodes': [`${DRIVER}.nodeSelector.oras.land/driver = "enabled"`],
  'registry-mirror': [
    '+ ConfigMap oras-csi-node/oras-csi-hosts',
    `${DRIVER}.volumes.hosts.configMap = {"items":[{"key":"_default","path":"_default/hosts.toml"}],"name":"oras-csi-hosts"}`,
    `${DRIVER}.volumes.hosts.hostPath gone`,
  ],
  'oci-layout': [
    '+ ConfigMap oras-csi-node/oras-csi-hosts',
    `${DRIVER}.containers.driver.volumeMounts./srv/artifacts = ${sortedJson(LAYOUT_MOUNT)}`,
    `${DRIVER}.volumes.artifacts = {"hostPath":{"path":"/srv/artifacts","type":"Directory"},"name":"artifacts"}`,
    `${DRIVER}.volumes.hosts.configMap = {"items":[{"key":"artifacts.internal","path":"artifacts.internal/hosts.toml"}],"name":"oras-csi-hosts"}`,
    `${DRIVER}.volumes.hosts.hostPath gone`,
  ],
  policy: [
    '+ ConfigMap oras-csi-node/oras-csi-policy',
    '+ ConfigMap oras-csi/oras-csi-policy',
    ...[`${DRIVER}.containers.driver`, `${WEBHOOK}.containers.webhook`].flatMap((container) => [
      `${container}.args.--policy-file=/etc/oras-csi/policy/policy.yaml = "--policy-file=/etc/oras-csi/policy/policy.yaml"`,
      `${container}.volumeMounts./etc/oras-csi/policy = ${sortedJson(POLICY_MOUNT)}`,
    ]),
    ...[DRIVER, WEBHOOK].map(
      (spec) => `${spec}.volumes.policy = {"configMap":{"name":"oras-csi-policy"},"name":"policy"}`,
    ),
  ],
  events: [
    '+ ClusterRole oras-csi-driver-events',
    '+ ClusterRoleBinding oras-csi-driver-events',
    '+ ValidatingAdmissionPolicy oras-csi-driver-own-events',
    '+ ValidatingAdmissionPolicyBinding oras-csi-driver-own-events',
    `${DRIVER}.automountServiceAccountToken = true`,
  ],
  'startup-taint': [
    '+ ClusterRole oras-csi-driver-startup-taint',
    '+ ClusterRoleBinding oras-csi-driver-startup-taint',
    '+ ValidatingAdmissionPolicy oras-csi-driver-own-startup-taint',
    '+ ValidatingAdmissionPolicyBinding oras-csi-driver-own-startup-taint',
    `${DRIVER}.automountServiceAccountToken = true`,
    `${DRIVER}.containers.driver.args.--startup-taint=csi.oras.land/agent-not-ready = "--startup-taint=csi.oras.land/agent-not-ready"`,
  ],
  proxy: [
    expect.stringMatching(/^\+ ConfigMap oras-csi-node\/oras-csi-proxy-[0-9a-z]{10}$/),
    expect.stringMatching(
      /: spec\.template\.spec\.containers\.driver\.envFrom = \[\{"configMapRef":\{"name":"oras-csi-proxy-[0-9a-z]{10}"\}\}\]$/,
    ),
  ],
}

let base: readonly JsonObject[]

describe.skipIf(why !== undefined)(`the components${why === undefined ? '' : ` (${why})`}`, () => {
  beforeAll(async () => {
    base = await kustomized()
  }, 900_000)

  test('are all here', async () => {
    const there = await readdir(join(CHECKOUT, 'manifests/components'), { withFileTypes: true })
    const names = there.filter((entry) => entry.isDirectory()).map(({ name }) => name)
    expect(names.sort()).toEqual([...Object.keys(CHANGES), 'kubelet-directory'].sort())
  })

  test.each(Object.keys(CHANGES))('%s changes what it is for, and nothing else', async (name) => {
    const expected = CHANGES[name] ?? []
    const changes = objectChanges(base, await kustomized(name))
    expect(changes).toHaveLength(expected.length)
    expect(changes).toEqual(expect.arrayContaining([...expected]))
  })

  test('kubelet-directory changes every path below the kubelet, and nothing else', async () => {
    const moved = JSON.stringify(base).replaceAll('/var/lib/kubelet', '/var/lib/k0s/kubelet')
    expect(await kustomized('kubelet-directory')).toEqual(JSON.parse(moved))
  })

  test('make the same objects in any order', async () => {
    const all = [...Object.keys(CHANGES), 'kubelet-directory'].filter(
      // Two files of one name.
      (name) => name !== 'registry-mirror',
    )
    const forth = await kustomized(...all)
    expect(objectChanges(forth, await kustomized(...all.toReversed()))).toEqual([])
    expect(JSON.stringify(forth)).not.toContain('/var/lib/kubelet')
  })

  test('label what they bring as ours, and run one image', async () => {
    const objects = await kustomized(
      ...Object.keys(CHANGES).filter((name) => name !== 'oci-layout'),
    )
    for (const object of objects) {
      const labels = objectIn(object, 'metadata', 'labels')
      expect([objectName(object), labels['app.kubernetes.io/part-of']]).toEqual([
        objectName(object),
        'oras-csi',
      ])
    }
    const images = JSON.stringify(objects).match(/"image":"[^"]+"/g)
    expect(new Set(images).size).toBe(1)
    expect(images).toHaveLength(4)
  })

  test('policy gives driver and webhook the same file', async () => {
    const objects = await kustomized('policy')
    const [webhook, driver] = ['oras-csi', 'oras-csi-node'].map((namespace) =>
      at(objectNamed(objects, `ConfigMap ${namespace}/oras-csi-policy`), 'data', 'policy.yaml'),
    )
    expect(webhook).toBe(driver)
  })
})

/** kustomize writes keys by name. */
function sortedJson(value: object): string {
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort()))
}
