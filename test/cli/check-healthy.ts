import { packageVersion } from '../../common/package-version.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { objectName, readBase } from '../manifests/manifest-objects.ts'
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts'

/** When everything happens. */
export const NOW = new Date('2026-06-01T12:00:00Z')
const INSTALLED = '2026-05-01T12:00:00Z'
/** Of this program, and so of the cluster. */
export const VERSION = packageVersion(import.meta.dirname)
export const IMAGE = `ghcr.io/oras-csi/oras-csi:${VERSION}`

/** Objects by `Kind namespace/name`; tests change them. */
export type Objects = Map<string, Editable>

/** An object of JSON that a test changes. */
// biome-ignore lint/suspicious/noExplicitAny: tests reach into objects of every kind
export type Editable = any

const SERVER_NAME = 'oras-csi-webhook.oras-csi.svc'

const authority = await createCertificateAuthority()
const leaf = await issue(authority, new Date('2026-08-25T12:00:00Z'))
const base = await readBase()

/** Issues what the webhook serves. */
export function issue(by: CertificateAuthority, notAfter: Date, name = SERVER_NAME) {
  const notBefore = new Date('2026-05-27T12:00:00Z')
  return by.issue({ names: [name], notBefore, notAfter })
}

export function base64(value: string): string {
  return Buffer.from(value).toString('base64')
}

/** The shipped manifests as they are on a cluster of two nodes where all is well, with one composed pod. */
export function healthyObjects(): Objects {
  const objects: Objects = new Map()
  const put = (...list: readonly object[]) => {
    for (const object of list) objects.set(objectName(object as JsonObject), object)
  }
  for (const object of base) {
    const copy: Editable = structuredClone(object)
    copy.metadata.creationTimestamp = INSTALLED
    for (const webhook of copy.webhooks ?? []) {
      webhook.clientConfig.caBundle = base64(authority.cert)
    }
    for (const container of copy.spec?.template?.spec?.containers ?? []) container.image = IMAGE
    put(copy)
  }
  const deployment = objects.get('Deployment oras-csi/oras-csi-webhook')
  deployment.status = { replicas: 2, readyReplicas: 2 }
  objects.get('DaemonSet oras-csi-node/oras-csi-driver').status = {
    desiredNumberScheduled: 2,
    numberReady: 2,
  }
  put(namespace('default'), namespace('apps'), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'oras-csi-webhook-certificate', namespace: 'oras-csi' },
    data: { 'tls.crt': base64(leaf.cert), 'tls.key': base64(leaf.key) },
  })
  const certificate = objects.get('Certificate oras-csi/oras-csi-webhook')
  certificate.status = {
    conditions: [{ type: 'Ready', status: 'True' }],
    notBefore: '2026-05-27T12:00:00Z',
    notAfter: '2026-08-25T12:00:00Z',
  }
  for (const node of ['node-1', 'node-2']) {
    put(
      {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name: node, labels: { 'kubernetes.io/os': 'linux' } },
        spec: {},
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      },
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'CSINode',
        metadata: { name: node },
        spec: { drivers: [{ name: 'ebs.csi.aws.com' }, { name: 'csi.oras.land' }] },
      },
      componentPod('webhook', 'oras-csi', node),
      componentPod('driver', 'oras-csi-node', node),
    )
  }
  put(podIn('apps', 'composed', { 'oras.land/status': '{"volumes":["oras-app"]}' }))
  return objects
}

function componentPod(component: string, in_: string, node: string) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `oras-csi-${component}-${node}`,
      namespace: in_,
      labels: {
        'app.kubernetes.io/name': 'oras-csi',
        'app.kubernetes.io/component': component,
      },
    },
    spec: { nodeName: node },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
  }
}

/** A pod that wants artifacts. */
export function podIn(
  space: string,
  name: string,
  annotations: Readonly<Record<string, string>> = {},
): Editable {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...{ name, namespace: space, uid: `uid-of-${name}` },
      creationTimestamp: '2026-05-20T12:00:00Z',
      annotations: { 'oras.land/artifacts': '/app: ghcr.io/acme/app:v1', ...annotations },
    },
    spec: { volumes: [{ name: 'oras-app', csi: { driver: 'csi.oras.land' } }] },
    status: { phase: 'Pending' },
  }
}

export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): Editable {
  const metadata = { name, labels: { 'kubernetes.io/metadata.name': name, ...labels } }
  return { apiVersion: 'v1', kind: 'Namespace', metadata }
}

/** A Deployment whose template has an annotation. */
export function deploymentIn(space: string, name: string, artifacts: string): Editable {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: space },
    spec: {
      template: {
        metadata: { annotations: { 'oras.land/artifacts': artifacts } },
        spec: { containers: [{ name: 'main', image: 'busybox' }] },
      },
    },
  }
}

/** What a kubelet says of a volume that it cannot mount. */
export function mountEvent(pod: Editable, message: string, lastTimestamp: string): Editable {
  const { name, namespace: space, uid } = pod.metadata
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${Date.parse(lastTimestamp)}`, namespace: space },
    involvedObject: { kind: 'Pod', namespace: space, name, uid },
    ...{ reason: 'FailedMount', type: 'Warning', message, lastTimestamp },
  }
}
