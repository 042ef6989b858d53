import { randomUUID } from 'node:crypto'

/** `admission.k8s.io/v1` AdmissionReview as the API server sends it. */
export interface AdmissionReview {
  readonly apiVersion: 'admission.k8s.io/v1'
  readonly kind: 'AdmissionReview'
  readonly request: {
    readonly uid: string
    readonly operation: string
    readonly namespace?: string
    readonly object: unknown
    readonly [field: string]: unknown
  }
}

/** What differs from one review to the next. */
export interface ReviewOptions {
  /** Default `default`. */
  readonly namespace?: string
  /** Default `CREATE`. */
  readonly operation?: 'CREATE' | 'UPDATE' | 'DELETE'
  readonly oldObject?: unknown
  readonly dryRun?: boolean
  /** e.g. `ephemeralcontainers` */
  readonly subResource?: string
  /** Default random. */
  readonly uid?: string
}

/** Kind and resource of what is reviewed. */
interface Resource {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly resource: string
}

const POD: Resource = { group: '', version: 'v1', kind: 'Pod', resource: 'pods' }

/** The workloads whose templates a webhook validates. */
export const WORKLOADS = {
  Deployment: resource('apps', 'Deployment', 'deployments'),
  StatefulSet: resource('apps', 'StatefulSet', 'statefulsets'),
  DaemonSet: resource('apps', 'DaemonSet', 'daemonsets'),
  ReplicaSet: resource('apps', 'ReplicaSet', 'replicasets'),
  Job: resource('batch', 'Job', 'jobs'),
  CronJob: resource('batch', 'CronJob', 'cronjobs'),
} as const

const KUBECTL = 'kubectl-client-side-apply'

/** A client of the API server, and what it says of itself in the options of its requests. */
const CLIENTS = {
  controller: {
    userInfo: {
      username: 'system:serviceaccount:kube-system:replicaset-controller',
      uid: '7d2a3c1b-62e5-4a7e-8c11-5f3c0b0a9e21',
      groups: [
        'system:serviceaccounts',
        'system:serviceaccounts:kube-system',
        'system:authenticated',
      ],
      extra: {
        'authentication.kubernetes.io/credential-id': ['JTI=c99604b4-3ce4-4ec0-8d55-71f459f65650'],
      },
    },
    options: {},
  },
  person: {
    userInfo: {
      username: 'kubernetes-admin',
      groups: ['kubeadm:cluster-admins', 'system:authenticated'],
      extra: {
        'authentication.kubernetes.io/credential-id': [`X509SHA256=${'e68bb33a'.repeat(8)}`],
      },
    },
    options: { fieldManager: KUBECTL, fieldValidation: 'Strict' },
  },
} as const

/** The parts of a pod that a test writes. */
export interface PodParts {
  readonly annotations?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly spec: object
}

/**
 * A pod as the ReplicaSet controller creates it and the API server sends it on: `generateName` and no name, uid or creation timestamp,
 * with `managedFields`. The API server fills the namespace in.
 *
 * @see test/peers/api-server-reviews.peer.ts, which compares it with what a real one sends
 */
export function controllerMadePod(parts: PodParts, namespace = 'default'): object {
  const labels = { app: 'app', 'pod-template-hash': '5d89bdfbc9', ...parts.labels }
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      generateName: 'app-5d89bdfbc9-',
      namespace,
      labels,
      ...(parts.annotations !== undefined && { annotations: parts.annotations }),
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          name: 'app-5d89bdfbc9',
          uid: '1f1d6c3e-8f0a-4c0b-9d8e-0f5b6f0a7c11',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
      managedFields: managedBy('kube-controller-manager', {
        'f:generateName': {},
        'f:labels': { '.': {}, 'f:app': {} },
      }),
    },
    spec: parts.spec,
    status: {},
  }
}

/** A pod as a person creates it: with a name and, as the API server fills it in, a namespace. */
export function namedPod(name: string, parts: PodParts, namespace = 'default'): object {
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name,
      namespace,
      ...(parts.labels !== undefined && { labels: parts.labels }),
      ...(parts.annotations !== undefined && { annotations: parts.annotations }),
      managedFields: managedBy(KUBECTL, { 'f:annotations': { '.': {} } }),
    },
    spec: parts.spec,
    status: {},
  }
}

function managedBy(manager: string, metadata: object): readonly object[] {
  return [
    {
      manager,
      operation: 'Update',
      apiVersion: 'v1',
      time: '2026-01-01T00:00:00Z',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:metadata': metadata },
    },
  ]
}

/** The review of a pod. `name` is set only where the pod has one, as the API server does. */
export function podReview(pod: object, options: ReviewOptions = {}): AdmissionReview {
  return reviewOf(POD, pod, options)
}

/** The review of a workload. */
export function workloadReview(
  kind: keyof typeof WORKLOADS,
  object: object,
  options: ReviewOptions = {},
): AdmissionReview {
  return reviewOf(WORKLOADS[kind], object, options)
}

function reviewOf(subject: Resource, object: object, options: ReviewOptions): AdmissionReview {
  const { operation = 'CREATE', subResource } = options
  const gvk = { group: subject.group, version: subject.version, kind: subject.kind }
  const gvr = { group: subject.group, version: subject.version, resource: subject.resource }
  const name = metadataOf(object, 'name')
  const hasOwner = metadataOf(object, 'ownerReferences') !== undefined
  const client = CLIENTS[hasOwner ? 'controller' : 'person']
  const sub = subResource === undefined ? {} : { subResource, requestSubResource: subResource }
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: options.uid ?? randomUUID(),
      kind: gvk,
      resource: gvr,
      requestKind: gvk,
      requestResource: gvr,
      ...sub,
      ...(name !== undefined && { name }),
      namespace: options.namespace ?? 'default',
      operation,
      userInfo: client.userInfo,
      object: operation === 'DELETE' ? null : object,
      oldObject: options.oldObject ?? null,
      dryRun: options.dryRun ?? false,
      options: {
        kind: { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' }[
          operation
        ],
        apiVersion: 'meta.k8s.io/v1',
        ...(options.dryRun === true && { dryRun: ['All'] }),
        ...client.options,
      },
    },
  }
}

function metadataOf(object: object, key: string): unknown {
  const metadata: unknown = Reflect.get(object, 'metadata')
  if (typeof metadata !== 'object' || metadata === null) return undefined
  return Reflect.get(metadata, key)
}

function resource(group: string, kind: string, plural: string): Resource {
  return { group, version: 'v1', kind, resource: plural }
}
