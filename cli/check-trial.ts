import { ANNOTATIONS } from '../common/composition/composition.ts'
import { isCodedError } from '../common/errors.ts'
import { textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import type { ClusterCheck } from './check-context.ts'
import { command, fail, ok, warn } from './check-finding.ts'
import { isExcluded, MUTATING_WEBHOOK, webhookPlace } from './check-installation.ts'
import type { KubernetesSnapshot } from './kubernetes-snapshot.ts'

/**
 * Whether the API server gets an answer of the webhook. The one proof that needs no look at keys: it does in earnest what it does for a pod,
 * name, certificate and network included, and keeps nothing (`dryRun=All`).
 */
export const trialPod: ClusterCheck = {
  about: 'whether the API server reaches the webhook',
  needs: 'create pods',
  async run({ view, namespace = 'default' }) {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
    if (await isKnownExcluded(view, namespace)) {
      return [
        warn(
          `Cannot tell whether the API server reaches the webhook: namespace ${namespace} is excluded from it`,
          'oras-csi check --namespace NAMESPACE (one whose pods may have artifacts)',
        ),
      ]
    }
    const { status, body, message } = await view.dryRun(path, POD)
    const place = await webhookPlace(view)
    const inWebhook = (...words: readonly string[]) =>
      command('kubectl', '--namespace', place.namespace, ...words)
    if (status === 201) {
      const annotations = objectAlong(body, ['metadata', 'annotations'])
      return textAt(annotations, ANNOTATIONS.status) === undefined
        ? [
            fail(
              `The API server took a trial pod in namespace ${namespace} without asking the webhook`,
              command('kubectl', 'get', 'namespace', namespace, '--show-labels'),
            ),
          ]
        : [ok(`The API server reaches the webhook and trusts it (trial pod in ${namespace})`)]
    }
    if (message.includes(`admission webhook "${MUTATING_WEBHOOK}" denied`)) {
      return [ok(`The API server reaches the webhook and trusts it (it denies the trial pod)`)]
    }
    if (message.includes(`failed calling webhook "${MUTATING_WEBHOOK}"`)) {
      return [
        fail(
          `The API server gets no answer of the webhook: ${message}`,
          inWebhook('get', 'pods,endpointslices,networkpolicies'),
        ),
      ]
    }
    if (message.includes('was not applied')) {
      return [
        fail(
          `The API server did not ask the webhook about a trial pod in namespace ${namespace}: ${message}`,
          command('kubectl', 'get', 'namespace', namespace, '--show-labels'),
        ),
      ]
    }
    return [
      warn(
        `Cannot tell whether the API server reaches the webhook: it refuses a trial pod: ${message}`,
        command('kubectl', 'auth', 'can-i', 'create', 'pods', '--namespace', namespace),
      ),
    ]
  },
}

/** Whoever may not see the configuration tries it. */
async function isKnownExcluded(view: KubernetesSnapshot, namespace: string): Promise<boolean> {
  try {
    return await isExcluded(view, namespace)
  } catch (error) {
    if (isCodedError(error, 'DENIED')) return false
    throw error
  }
}

/** Fit for namespaces with Pod Security "restricted" and for quotas. Its artifact is never asked for. */
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    generateName: 'oras-csi-check-',
    annotations: {
      [ANNOTATIONS.artifacts]: '/oras-csi-check: registry.invalid/oras-csi/check:v1',
      // Else a namespace whose account has several pull secrets makes the webhook warn.
      [ANNOTATIONS.pullSecret]: '',
    },
  },
  spec: {
    automountServiceAccountToken: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65_532,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: 'check',
        image: 'registry.invalid/oras-csi/check:v1',
        resources: {
          requests: { cpu: '1m', memory: '1Mi' },
          limits: { cpu: '1m', memory: '1Mi' },
        },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  },
}
