import { describe, expect, test } from 'vitest'
import { checkCluster } from '../../cli/check-cluster.ts'
import { openKubernetes } from '../../cli/kubernetes-client.ts'
import { openSnapshot } from '../../cli/kubernetes-snapshot.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { type ClusterApiOptions, failure, startClusterApi } from './check-cluster-api.ts'
import {
  base64,
  deploymentIn,
  type Editable,
  healthyObjects,
  IMAGE,
  issue,
  mountEvent,
  NOW,
  namespace,
  type Objects,
  podIn,
  VERSION,
} from './check-healthy.ts'

/** The official client takes seconds to load on a busy machine. */
const SLOW = { timeout: 60_000 }

const MUTATING = 'MutatingWebhookConfiguration oras-csi'
const VALIDATING = 'ValidatingWebhookConfiguration oras-csi'
const DEPLOYMENT = 'Deployment oras-csi/oras-csi-webhook'
const DAEMON_SET = 'DaemonSet oras-csi-node/oras-csi-driver'
const SECRET = 'Secret oras-csi/oras-csi-webhook-certificate'
const other = await createCertificateAuthority()

interface Scene {
  readonly change?: (objects: Objects) => void | Promise<void>
  readonly api?: Partial<ClusterApiOptions>
  readonly namespace?: string
}

/** Checks a healthy cluster that was changed; gives all that is not well. */
async function check(scene: Scene) {
  const objects = healthyObjects()
  await scene.change?.(objects)
  await using api = await startClusterApi({ objects: [...objects.values()], ...scene.api })
  const { kubeconfig } = api
  const client = await openKubernetes({ kubeconfig, env: {}, signal: AbortSignal.timeout(60_000) })
  const groups = await checkCluster({
    ...{ view: openSnapshot(client), now: NOW, version: VERSION },
    ...(scene.namespace !== undefined && { namespace: scene.namespace }),
  })
  const findings = groups.flatMap((group) => group.findings)
  return {
    all: groups.map(({ title, findings: list }) => [title, ...list.map(({ message }) => message)]),
    bad: findings
      .filter(({ severity }) => severity !== 'ok')
      .map(({ severity, message, todo }) => [severity, message, todo]),
    url: api.url,
    calls: api.calls,
  }
}

test('finds nothing wrong with the shipped manifests on a cluster that is well', SLOW, async () => {
  const { all, bad, url, calls } = await check({})
  expect(bad).toStrictEqual([])
  const bundle = 'of an authority in the CA bundle of'
  expect(all).toStrictEqual([
    [
      'Kubernetes',
      `${url} answers (context test)`,
      'The API server has version v1.34.2',
      'The CSIDriver csi.oras.land is as it must be',
    ],
    [
      'Admission',
      `${MUTATING} is as it must be`,
      `${VALIDATING} is as it must be`,
      'ValidatingAdmissionPolicy oras-csi-artifacts-applied is bound, and denies',
    ],
    [
      'Certificate',
      `${MUTATING} has a CA bundle of 1 certificate`,
      `${VALIDATING} has a CA bundle of 1 certificate`,
      "The webhook's certificate is valid for 85 days, until 2026-08-25",
      `The webhook's certificate is ${bundle} ${MUTATING}`,
      `The webhook's certificate is ${bundle} ${VALIDATING}`,
    ],
    [
      'Webhook',
      `${DEPLOYMENT} has 2 of 2 pods ready`,
      'The webhook runs on 2 nodes',
      'The API server reaches the webhook and trusts it (trial pod in default)',
    ],
    [
      'Driver',
      `${DAEMON_SET} has 2 of 2 pods ready`,
      'The driver is registered on 2 of 2 nodes that take pods',
    ],
    ['Installation', 'Pod Security is set for both namespaces', `Webhook and driver run ${IMAGE}`],
    [
      'Pods and workloads',
      '1 pod with artifacts, all composed',
      'No pod waits for a volume of the driver',
      '0 workloads with annotations of ours, none of which would be denied',
    ],
  ])
  // Each thing is asked for once; the only one that is no GET keeps nothing.
  expect(new Set(calls).size).toBe(calls.length)
  expect(calls.filter((call) => !call.startsWith('GET '))).toStrictEqual([
    'POST /api/v1/namespaces/default/pods?dryRun=All',
  ])
})

const APPLY = 'kubectl apply -k manifests/'
const INSTALL = 'kubectl apply -k manifests/ (or helm upgrade --install)'
const INJECTOR = 'kubectl --namespace cert-manager logs deployment/cert-manager-cainjector'
const RENEWAL = 'kubectl --namespace oras-csi describe certificate,certificaterequest'

type Case = readonly [
  about: string,
  scene: Scene,
  bad: readonly (readonly [string, string, string])[],
]

/** A change of one object. */
function edit(name: string, change: (object: Editable) => void): Scene {
  return { change: (objects) => change(objects.get(name)) }
}

function remove(...names: readonly string[]): Scene {
  return {
    change: (objects) => {
      for (const name of names) expect(objects.delete(name), name).toBe(true)
    },
  }
}

const CASES: readonly Case[] = [
  [
    'an API server that is too old',
    { api: { version: { major: '1', minor: '29+', gitVersion: 'v1.29.9-eks' } } },
    [
      [
        'error',
        'The API server has version v1.29.9-eks; expected 1.30 or later',
        'upgrade the cluster: older API servers pass over the matchConditions of webhooks',
      ],
    ],
  ],
  [
    'no CSIDriver',
    remove('CSIDriver csi.oras.land'),
    [['error', 'There is no CSIDriver csi.oras.land', INSTALL]],
  ],
  [
    'a CSIDriver with other fields, of Helm',
    edit('CSIDriver csi.oras.land', ({ metadata, spec }) => {
      metadata.annotations = {
        'meta.helm.sh/release-name': 'artifacts',
        'meta.helm.sh/release-namespace': 'oras-csi',
      }
      spec.fsGroupPolicy = 'File'
      delete spec.podInfoOnMount
      spec.volumeLifecycleModes = ['Persistent']
    }),
    [
      [
        'error',
        'The CSIDriver csi.oras.land has podInfoOnMount: false; expected true, or the driver does not learn which pod a volume is for',
        'helm upgrade artifacts chart/ --namespace oras-csi --reset-then-reuse-values',
      ],
      [
        'error',
        'The CSIDriver csi.oras.land has fsGroupPolicy: File; expected None, or the kubelet changes the owner of files that pods share',
        'helm upgrade artifacts chart/ --namespace oras-csi --reset-then-reuse-values',
      ],
      [
        'error',
        'The CSIDriver csi.oras.land lacks Ephemeral in volumeLifecycleModes: pods may not have its volumes',
        'helm upgrade artifacts chart/ --namespace oras-csi --reset-then-reuse-values',
      ],
    ],
  ],
  [
    'no webhook configurations',
    remove(MUTATING, VALIDATING),
    [
      [
        'error',
        'No MutatingWebhookConfiguration has the webhook mutate.csi.oras.land: pods get no artifacts',
        INSTALL,
      ],
      [
        'warning',
        'No ValidatingWebhookConfiguration has the webhook validate.csi.oras.land: a mistake in a Deployment shows only at its pods',
        INSTALL,
      ],
    ],
  ],
  [
    'matchConditions that an old cert-manager dropped',
    edit(MUTATING, ({ webhooks }) => delete webhooks[0].matchConditions),
    [
      [
        'error',
        'MutatingWebhookConfiguration oras-csi has no matchConditions: every new pod waits for the webhook. cert-manager before 1.12 drops them',
        `update cert-manager, then: ${APPLY}`,
      ],
    ],
  ],
  [
    'one matchCondition of two, and failurePolicy Ignore',
    edit(MUTATING, ({ webhooks }) => {
      webhooks[0].matchConditions.pop()
      webhooks[0].failurePolicy = 'Ignore'
    }),
    [
      [
        'error',
        'MutatingWebhookConfiguration oras-csi lacks the matchCondition is-no-mirror-pod',
        APPLY,
      ],
      [
        'warning',
        'MutatingWebhookConfiguration oras-csi has failurePolicy: Ignore; expected Fail, or pods start without their artifacts while the webhook is down',
        APPLY,
      ],
    ],
  ],
  [
    'a backstop without a binding that denies',
    edit('ValidatingAdmissionPolicyBinding oras-csi-artifacts-applied', ({ spec }) => {
      spec.validationActions = ['Audit']
    }),
    [
      [
        'warning',
        'No binding lets ValidatingAdmissionPolicy oras-csi-artifacts-applied deny: a pod that the webhook has not seen would start without its artifacts',
        APPLY,
      ],
    ],
  ],
  [
    'an empty CA bundle, and one that is none',
    {
      change: (objects) => {
        objects.get(MUTATING).webhooks[0].clientConfig.caBundle = ''
        objects.get(VALIDATING).webhooks[0].clientConfig.caBundle = base64('no certificate')
      },
    },
    [
      [
        'error',
        'MutatingWebhookConfiguration oras-csi has no CA bundle: the API server does not trust the webhook and refuses every pod that wants artifacts',
        INJECTOR,
      ],
      [
        'error',
        'The CA bundle of ValidatingWebhookConfiguration oras-csi holds no certificate: the API server does not trust the webhook and checks no workload',
        INJECTOR,
      ],
    ],
  ],
  [
    'the CA bundle of another authority of the same name, without cert-manager',
    edit(MUTATING, ({ metadata, webhooks }) => {
      delete metadata.annotations
      webhooks[0].clientConfig.caBundle = base64(other.cert)
    }),
    [
      [
        'error',
        "The webhook's certificate is of no authority in the CA bundle of MutatingWebhookConfiguration oras-csi: the API server does not trust the webhook",
        'kubectl --namespace oras-csi create job certificate-now --from=cronjob/oras-csi-certificate',
      ],
    ],
  ],
  [
    'a certificate that ended, for another name',
    {
      async change(objects) {
        const { cert } = await issue(other, new Date('2026-05-30T11:00:00Z'), 'other.svc')
        objects.get(SECRET).data['tls.crt'] = base64(cert)
        for (const name of [MUTATING, VALIDATING]) {
          objects.get(name).webhooks[0].clientConfig.caBundle = base64(other.cert)
        }
      },
    },
    [
      ['error', "The webhook's certificate ended 2 days ago, on 2026-05-30", RENEWAL],
      [
        'error',
        "The webhook's certificate is not for oras-csi-webhook.oras-csi.svc, by which the API server calls it",
        RENEWAL,
      ],
    ],
  ],
  [
    'no secret',
    remove(SECRET),
    [
      [
        'error',
        'There is no Secret oras-csi/oras-csi-webhook-certificate: the webhook has no certificate',
        RENEWAL,
      ],
    ],
  ],
  [
    'a certificate that nobody renewed, seen through cert-manager without a look at the secret',
    {
      ...edit('Certificate oras-csi/oras-csi-webhook', ({ status }) => {
        status.notAfter = '2026-06-11T13:00:00Z'
      }),
      api: { forbidden: ['secrets'] },
    },
    [
      [
        'warning',
        "The webhook's certificate ends in 10 days, on 2026-06-11: it should have been renewed",
        'kubectl --namespace oras-csi describe certificate oras-csi-webhook',
      ],
    ],
  ],
  [
    'a certificate that cert-manager cannot make',
    {
      ...edit('Certificate oras-csi/oras-csi-webhook', ({ status }) => {
        status.conditions = [{ type: 'Ready', status: 'False', message: 'Issuer not found' }]
      }),
      api: { forbidden: ['secrets'] },
    },
    [
      [
        'error',
        'Certificate oras-csi/oras-csi-webhook is not ready: Issuer not found',
        'kubectl --namespace oras-csi describe certificate oras-csi-webhook',
      ],
    ],
  ],
  [
    'a certificate of which nothing may be seen',
    { ...remove('Certificate oras-csi/oras-csi-webhook'), api: { forbidden: ['secrets'] } },
    [
      [
        'warning',
        "Cannot tell how long the webhook's certificate is valid: Secret oras-csi/oras-csi-webhook-certificate is not for you, and no cert-manager Certificate makes it",
        'kubectl auth can-i get secret/oras-csi-webhook-certificate --namespace oras-csi',
      ],
    ],
  ],
  [
    'a webhook that was scaled to nothing',
    {
      ...edit(DEPLOYMENT, (deployment) => {
        deployment.spec.replicas = 0
        deployment.status = {}
      }),
      api: {
        trial: failure(
          500,
          'Internal error occurred: failed calling webhook "mutate.csi.oras.land": no endpoints available for service "oras-csi-webhook"',
        ),
      },
    },
    [
      [
        'error',
        'Deployment oras-csi/oras-csi-webhook has no replicas: every pod that wants artifacts is refused',
        'kubectl --namespace oras-csi scale deployment/oras-csi-webhook --replicas=2',
      ],
      [
        'error',
        'The API server gets no answer of the webhook: Internal error occurred: failed calling webhook "mutate.csi.oras.land": no endpoints available for service "oras-csi-webhook"',
        'kubectl --namespace oras-csi get pods,endpointslices,networkpolicies',
      ],
    ],
  ],
  [
    'a webhook of which no pod is ready',
    edit(DEPLOYMENT, ({ status }) => delete status.readyReplicas),
    [
      [
        'error',
        'No pod of Deployment oras-csi/oras-csi-webhook is ready: every pod that wants artifacts is refused',
        'kubectl --namespace oras-csi describe pods --selector app.kubernetes.io/component=webhook',
      ],
    ],
  ],
  [
    'a webhook of one replica',
    edit(DEPLOYMENT, ({ spec, status }) => {
      spec.replicas = 1
      status.readyReplicas = 1
    }),
    [
      [
        'warning',
        'Deployment oras-csi/oras-csi-webhook has 1 replica; expected 2, so that one may end',
        'kubectl --namespace oras-csi scale deployment/oras-csi-webhook --replicas=2',
      ],
    ],
  ],
  [
    'a webhook whose pods share a node',
    edit('Pod oras-csi/oras-csi-webhook-node-2', ({ spec }) => {
      spec.nodeName = 'node-1'
    }),
    [
      [
        'warning',
        'All pods of the webhook run on node node-1: when it fails, every pod that wants artifacts is refused',
        'kubectl --namespace oras-csi delete pod oras-csi-webhook-node-1',
      ],
    ],
  ],
  [
    'an API server that does not ask the webhook',
    { api: { trial: { status: 201, body: { metadata: { annotations: {} } } } } },
    [
      [
        'error',
        'The API server took a trial pod in namespace default without asking the webhook',
        'kubectl get namespace default --show-labels',
      ],
    ],
  ],
  [
    'a trial pod that the policy of the admin denies: the webhook answers',
    {
      api: {
        trial: failure(403, 'admission webhook "mutate.csi.oras.land" denied the request: policy'),
      },
    },
    [],
  ],
  [
    'a trial pod that one may not make, or somebody else refuses',
    { api: { trial: failure(403, 'pods is forbidden: User "viewer" cannot create') } },
    [
      [
        'warning',
        'Cannot tell whether the API server reaches the webhook: it refuses a trial pod: pods is forbidden: User "viewer" cannot create',
        'kubectl auth can-i create pods --namespace default',
      ],
    ],
  ],
  [
    'a namespace for the trial pod that an admin has excluded',
    {
      change: (objects) => {
        const off = namespace('default', { 'oras.land/inject': 'disabled' })
        objects.set('Namespace default', off)
      },
      api: { trial: failure(403, 'nobody asks') },
    },
    [
      [
        'warning',
        'Cannot tell whether the API server reaches the webhook: namespace default is excluded from it',
        'oras-csi check --namespace NAMESPACE (one whose pods may have artifacts)',
      ],
    ],
  ],
  [
    'a pod on a node whose kubelet does not know the driver',
    {
      change: (objects) => {
        const pod = podIn('apps', 'early', { 'oras.land/status': '{}' })
        const said =
          'MountVolume.NewMounter initialization failed for volume "oras-app" : driver name csi.oras.land not found in the list of registered CSI drivers'
        objects.set('Pod early', pod)
        objects.set('Event early', mountEvent(pod, said, '2026-06-01T11:59:00Z'))
      },
    },
    [
      [
        'error',
        'Pod apps/early waits for its artifacts: driver name csi.oras.land not found in the list of registered CSI drivers',
        'kubectl --namespace apps describe pod early',
      ],
    ],
  ],
  ['no DaemonSet', remove(DAEMON_SET), [['error', 'There is no DaemonSet of the driver', INSTALL]]],
  [
    'a driver that a nodeSelector keeps off all nodes',
    {
      change: (objects) => {
        const set = objects.get(DAEMON_SET)
        set.spec.template.spec.nodeSelector = { 'no.such/label': 'x' }
        set.status = { desiredNumberScheduled: 0, numberReady: 0 }
        for (const node of ['node-1', 'node-2']) {
          objects.get(`CSINode ${node}`).spec.drivers = null
          objects.delete(`Pod oras-csi-node/oras-csi-driver-${node}`)
        }
      },
    },
    [
      [
        'error',
        'DaemonSet oras-csi-node/oras-csi-driver is for no node at all: its nodeSelector or affinity fits none',
        'kubectl --namespace oras-csi-node get daemonset oras-csi-driver --output wide',
      ],
      [
        'warning',
        "The driver's nodeSelector leaves out node-1, node-2: pods with artifacts cannot start there",
        'kubectl get nodes --show-labels',
      ],
    ],
  ],
  [
    'a driver pod that does not start',
    {
      change: (objects) => {
        objects.get('CSINode node-2').spec.drivers = []
        objects.get(DAEMON_SET).status.numberReady = 1
        objects.get('Pod oras-csi-node/oras-csi-driver-node-2').status = {
          phase: 'Pending',
          containerStatuses: [
            {
              state: { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image' } },
            },
          ],
        }
      },
    },
    [
      [
        'error',
        'DaemonSet oras-csi-node/oras-csi-driver has 1 of 2 pods ready',
        'kubectl --namespace oras-csi-node get pods --output wide',
      ],
      [
        'error',
        'Node node-2 lacks the driver: pods with artifacts cannot start there; its pod oras-csi-node/oras-csi-driver-node-2 is Pending, ImagePullBackOff: Back-off pulling image',
        'kubectl --namespace oras-csi-node describe pod oras-csi-driver-node-2',
      ],
    ],
  ],
  [
    'a driver that runs, and that the kubelet does not know; a node without a pod of it; a node that takes no pods',
    {
      change: (objects) => {
        objects.get('CSINode node-1').spec.drivers = []
        objects.delete('CSINode node-2')
        objects.delete('Pod oras-csi-node/oras-csi-driver-node-2')
        objects.get('Node node-2').status.conditions = []
        objects.set('cordoned', {
          ...{ apiVersion: 'v1', kind: 'Node' },
          ...{ metadata: { name: 'node-3' }, spec: { unschedulable: true } },
        })
      },
    },
    [
      [
        'error',
        'Node node-1 lacks the driver: pods with artifacts cannot start there; its pod oras-csi-node/oras-csi-driver-node-1 is ready, but the kubelet does not know it: is --kubelet-directory that of the kubelet?',
        'kubectl --namespace oras-csi-node logs oras-csi-driver-node-1',
      ],
      [
        'error',
        'Node node-2 lacks the driver: pods with artifacts cannot start there; there is no pod of the driver on it (the node is not ready)',
        'kubectl describe node node-2',
      ],
    ],
  ],
  [
    'Pod Security that refuses the driver, and none for the webhook',
    {
      change: (objects) => {
        objects.set('Namespace oras-csi', namespace('oras-csi'))
        objects.set(
          'Namespace oras-csi-node',
          namespace('oras-csi-node', { 'pod-security.kubernetes.io/enforce': 'baseline' }),
        )
      },
    },
    [
      [
        'error',
        "Namespace oras-csi-node of the driver has Pod Security baseline; expected privileged: the driver's pods are refused",
        'kubectl label --overwrite namespace oras-csi-node pod-security.kubernetes.io/enforce=privileged',
      ],
      [
        'warning',
        'Namespace oras-csi of the webhook has Pod Security of the cluster; restricted would do',
        'kubectl label --overwrite namespace oras-csi pod-security.kubernetes.io/enforce=restricted',
      ],
    ],
  ],
  [
    'webhook and driver of different versions',
    edit(DAEMON_SET, ({ spec }) => {
      spec.template.spec.containers[0].image = 'ghcr.io/oras-csi/oras-csi:0.0.9'
    }),
    [
      [
        'warning',
        `Webhook and driver have different images: oras-csi/oras-csi-webhook ${IMAGE}, oras-csi-node/oras-csi-driver ghcr.io/oras-csi/oras-csi:0.0.9`,
        APPLY,
      ],
    ],
  ],
  [
    'a cluster of another version than this program',
    {
      change: (objects) => {
        for (const name of [DEPLOYMENT, DAEMON_SET]) {
          objects.get(name).spec.template.spec.containers[0].image =
            `registry:5000/oras-csi:v99.2.0@sha256:${'a'.repeat(64)}`
        }
      },
    },
    [
      [
        'warning',
        `The cluster has version 99.2.0, this program ${VERSION}`,
        'npm install --global oras-csi@99.2.0 (or upgrade the cluster)',
      ],
    ],
  ],
  [
    'pods without their artifacts, each for another reason; one that ends is passed over',
    {
      change: (objects) => {
        const early = podIn('apps', 'early')
        early.metadata.creationTimestamp = '2026-04-01T00:00:00Z'
        const ending = podIn('apps', 'ending')
        ending.metadata.deletionTimestamp = '2026-06-01T11:59:59Z'
        for (const pod of [
          ...[early, ending, podIn('off', 'off'), podIn('kube-system', 'system')],
          podIn('apps', 'static', { 'kubernetes.io/config.mirror': 'x' }),
          podIn('apps', 'edited'),
        ]) {
          objects.set(`Pod ${pod.metadata.name}`, pod)
        }
        objects.set('Namespace off', namespace('off', { 'oras.land/inject': 'disabled' }))
        objects.set('Namespace kube-system', namespace('kube-system'))
      },
    },
    [
      [
        'error',
        'Pod apps/early wants artifacts and has none: it was created before oras-csi was installed',
        'kubectl --namespace apps delete pod early (its controller makes it anew)',
      ],
      [
        'error',
        'Pod off/off wants artifacts and has none: namespace off is excluded from the webhook',
        'kubectl label namespace off oras.land/inject-',
      ],
      [
        'error',
        'Pod kube-system/system wants artifacts and has none: namespace kube-system is excluded from the webhook',
        'move it to another namespace: this one is never composed',
      ],
      [
        'error',
        'Pod apps/static wants artifacts and has none: it is a static pod, which the kubelet makes without asking the API server',
        'use a DaemonSet instead of a file in /etc/kubernetes/manifests',
      ],
      [
        'error',
        'Pod apps/edited wants artifacts and has none: the webhook was not asked when it was created, or the annotation was added since',
        'kubectl --namespace apps delete pod edited (its controller makes it anew)',
      ],
    ],
  ],
  [
    "a pod that waits for a volume, with the last that the driver said; not those that started since, nor others' volumes",
    {
      change: (objects) => {
        const status = { 'oras.land/status': '{}' }
        const [stuck, running, foreign, gone] = ['stuck', 'running', 'foreign', 'gone'].map(
          (name) => podIn('apps', name, status),
        )
        running.status.phase = 'Running'
        foreign.spec.volumes = [{ name: 'oras-app', csi: { driver: 'other.csi' } }]
        const failed = 'MountVolume.SetUp failed for volume "oras-app" : rpc error: code ='
        for (const pod of [stuck, running, foreign, gone]) {
          const said = `${failed} NotFound desc = Cannot pull "ghcr.io/acme/app:v1": no such tag`
          const event = mountEvent(pod, said, '2026-06-01T11:59:00Z')
          objects.set(`Event ${pod.metadata.name}`, event)
          if (pod !== gone) objects.set(`Pod ${pod.metadata.name}`, pod)
        }
        const before = `${failed} Unavailable desc = still pulling`
        objects.set('Event before', mountEvent(stuck, before, '2026-06-01T11:50:00Z'))
      },
    },
    [
      [
        'error',
        'Pod apps/stuck waits for its artifacts: Cannot pull "ghcr.io/acme/app:v1": no such tag',
        'kubectl --namespace apps describe pod stuck',
      ],
    ],
  ],
  [
    'a Deployment whose pods would be denied; its ReplicaSets are not mentioned',
    {
      change: (objects) => {
        const web = deploymentIn('apps', 'web', 'app: ghcr.io/acme/app:v1')
        const copy = deploymentIn('apps', 'web-5d4f', 'app: ghcr.io/acme/app:v1')
        copy.kind = 'ReplicaSet'
        copy.metadata.ownerReferences = [{ kind: 'Deployment', name: 'web', controller: true }]
        objects.set('Deployment web', web)
        objects.set('ReplicaSet web', copy)
        objects.set('Deployment fine', deploymentIn('apps', 'fine', '/app: ghcr.io/acme/app:v1'))
      },
    },
    [
      [
        'error',
        'Deployment/web in apps: Invalid oras.land/artifacts.app: "app" is relative; expected an absolute path, e.g. "/app"',
        'oras-csi lint FILE (of its manifest) says where',
      ],
    ],
  ],
]

describe('oras-csi check names', () => {
  test.for(CASES)('%s', SLOW, async ([, scene, expected]) => {
    expect((await check(scene)).bad).toStrictEqual(expected)
  })
})

test('a namespace that is named is the only one that is looked into', SLOW, async () => {
  const { bad, all, calls } = await check({
    namespace: 'apps',
    change: (objects) => {
      objects.set('Pod far', podIn('far', 'far'))
      objects.set('Deployment far', deploymentIn('far', 'far', 'nonsense'))
    },
  })
  expect(bad).toStrictEqual([])
  expect(all.at(-1)?.[1]).toBe('1 pod with artifacts in namespace apps, all composed')
  expect(calls).toContain('POST /api/v1/namespaces/apps/pods?dryRun=All')
})

test('whoever may see pods but not why they were not composed is told of them', SLOW, async () => {
  const { bad } = await check({
    change: (objects) => {
      objects.set('Pod alone', podIn('apps', 'alone'))
    },
    api: { forbidden: ['mutatingwebhookconfigurations'] },
  })
  expect(bad.at(-1)).toStrictEqual([
    'error',
    'Pod apps/alone wants artifacts and has none: cannot tell why: mutatingwebhookconfigurations is forbidden: User "viewer" cannot list resource "mutatingwebhookconfigurations" in API group "admissionregistration.k8s.io" at the cluster scope',
    'kubectl --namespace apps delete pod alone (its controller makes it anew)',
  ])
})

test(
  'whoever may see nothing is told which checks could not be made, and by which right',
  SLOW,
  async () => {
    const forbidden = [
      ...['mutatingwebhookconfigurations', 'validatingwebhookconfigurations', 'nodes', 'csinodes'],
      ...[
        'validatingadmissionpolicies',
        'csidrivers',
        'deployments',
        'daemonsets',
        'pods',
        'events',
      ],
      ...[
        'namespaces',
        'secrets',
        'certificates',
        'statefulsets',
        'replicasets',
        'jobs',
        'cronjobs',
      ],
    ]
    const { bad } = await check({ api: { forbidden } })
    const denied = (plural: string, verb: string, group: string, scope = 'at the cluster scope') =>
      `${plural} is forbidden: User "viewer" cannot ${verb} resource "${plural}" in API group "${group}" ${scope}`
    const own = 'in the namespace "oras-csi"'
    const registration = 'admissionregistration.k8s.io'
    const cannot = (about: string, why: string, needs: string) => [
      ...['warning', `Cannot tell ${about}: ${why}`, `have an admin grant: ${needs}`],
    ]
    expect(bad).toStrictEqual([
      cannot(
        'whether the CSIDriver csi.oras.land is right',
        denied('csidrivers', 'get', 'storage.k8s.io'),
        'get csidrivers.storage.k8s.io',
      ),
      cannot(
        'whether the API server is told to ask the webhook',
        denied('mutatingwebhookconfigurations', 'list', registration),
        'list mutatingwebhookconfigurations',
      ),
      cannot(
        'whether workloads are checked when they are applied',
        denied('validatingwebhookconfigurations', 'list', registration),
        'list validatingwebhookconfigurations',
      ),
      cannot(
        'whether pods are refused that the webhook has not seen',
        denied('validatingadmissionpolicies', 'get', registration),
        'list validatingadmissionpolicybindings',
      ),
      cannot(
        'whether the API server is told whom to trust',
        denied('mutatingwebhookconfigurations', 'list', registration),
        'list mutatingwebhookconfigurations',
      ),
      cannot(
        "whether the webhook's certificate is valid",
        denied('certificates', 'list', 'cert-manager.io', own),
        'get secrets',
      ),
      cannot(
        'whether the webhook runs',
        denied('deployments', 'list', 'apps', own),
        'list deployments.apps',
      ),
      cannot(
        'whether the webhook runs on several nodes',
        denied('pods', 'list', '', own),
        'list pods',
      ),
      [
        'warning',
        `Cannot tell whether the API server reaches the webhook: it refuses a trial pod: ${denied('pods', 'create', '', 'in the namespace "default"')}`,
        'kubectl auth can-i create pods --namespace default',
      ],
      cannot(
        "whether the driver's pods run",
        denied('daemonsets', 'list', 'apps'),
        'list daemonsets.apps',
      ),
      cannot(
        'whether every node has the driver',
        denied('nodes', 'list', ''),
        'list nodes,csinodes',
      ),
      cannot(
        'whether Pod Security is set for the namespaces',
        denied('daemonsets', 'list', 'apps'),
        'get namespaces',
      ),
      cannot(
        'whether webhook and driver have the same version',
        denied('deployments', 'list', 'apps', own),
        'list deployments.apps,daemonsets.apps',
      ),
      cannot('whether pods got their artifacts', denied('pods', 'list', ''), 'list pods'),
      cannot(
        'whether pods wait for their artifacts',
        denied('events', 'list', ''),
        'list events,pods',
      ),
      cannot(
        'whether workloads ask for artifacts as they should',
        denied('deployments', 'list', 'apps'),
        'list deployments,statefulsets,daemonsets,replicasets,jobs,cronjobs',
      ),
    ])
  },
)
