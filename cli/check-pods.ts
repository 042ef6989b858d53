import { ANNOTATIONS } from '../common/composition/composition.ts'
import { type JsonObject, objectAt, textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import type { CheckContext, ClusterCheck } from './check-context.ts'
import { type CheckFinding, command, fail, ok } from './check-finding.ts'
import { findWebhook, MUTATING_WEBHOOK, nameOf, namespaceOf } from './check-installation.ts'
import { matchesSelector } from './kubernetes-selector.ts'
import { counted } from './text-table.ts'

const MIRROR = 'kubernetes.io/config.mirror'

/** Pods that want artifacts and run without, and why. */
export const composedPods: ClusterCheck = {
  about: 'whether pods got their artifacts',
  needs: 'list pods',
  async run(context) {
    const { view, namespace } = context
    const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
    const pods = (await view.list(`/api/v1${scope}/pods`, 'metadata')).filter(wants)
    const without = pods.filter((pod) => annotationsOf(pod)[ANNOTATIONS.status] === undefined)
    if (without.length === 0) {
      const where = namespace === undefined ? '' : ` in namespace ${namespace}`
      return [ok(`${counted(pods.length, 'pod')} with artifacts${where}, all composed`)]
    }
    const why = await reasons(context)
    const findings: CheckFinding[] = []
    for (const pod of without) {
      const place = `${namespaceOf(pod)}/${nameOf(pod)}`
      const { reason, todo } = await why(pod)
      findings.push(fail(`Pod ${place} wants artifacts and has none: ${reason}`, todo))
    }
    return findings
  },
}

interface Reason {
  readonly reason: string
  readonly todo: string
}

/** What is known of the installation and the namespaces, as far as one may know it. */
async function reasons({ view }: CheckContext): Promise<(pod: JsonObject) => Promise<Reason>> {
  const found = await findWebhook(view, MUTATING_WEBHOOK)
  const installed = creationOf(found?.configuration)
  const selector = objectAt(found?.webhook, 'namespaceSelector')
  return async (pod) => {
    const namespace = namespaceOf(pod)
    const again = command('kubectl', '--namespace', namespace, 'delete', 'pod', nameOf(pod))
    if (annotationsOf(pod)[MIRROR] !== undefined) {
      return {
        reason: 'it is a static pod, which the kubelet makes without asking the API server',
        todo: 'use a DaemonSet instead of a file in /etc/kubernetes/manifests',
      }
    }
    const created = creationOf(pod)
    if (found === undefined || created < installed) {
      return {
        reason: 'it was created before oras-csi was installed',
        todo: `${again} (its controller makes it anew)`,
      }
    }
    const object = await view.get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`)
    const labels = objectAlong(object, ['metadata', 'labels']) ?? {}
    if (!matchesSelector(selector, { 'kubernetes.io/metadata.name': namespace, ...labels })) {
      return {
        reason: `namespace ${namespace} is excluded from the webhook`,
        todo:
          labels['oras.land/inject'] === undefined
            ? 'move it to another namespace: this one is never composed'
            : command('kubectl', 'label', 'namespace', namespace, 'oras.land/inject-'),
      }
    }
    return {
      reason: 'the webhook was not asked when it was created, or the annotation was added since',
      todo: `${again} (its controller makes it anew)`,
    }
  }
}

function wants(pod: JsonObject): boolean {
  const annotations = annotationsOf(pod)
  const ends = textAt(objectAt(pod, 'metadata'), 'deletionTimestamp') !== undefined
  return !ends && annotations[ANNOTATIONS.artifacts] !== undefined
}

function annotationsOf(object: JsonObject): JsonObject {
  return objectAlong(object, ['metadata', 'annotations']) ?? {}
}

function creationOf(object: JsonObject | undefined): number {
  return Date.parse(textAt(objectAt(object, 'metadata'), 'creationTimestamp') ?? '')
}
