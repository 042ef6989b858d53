import { ANNOTATIONS } from '../common/composition/composition.ts'
import { isCodedError } from '../common/errors.ts'
import { type JsonObject, objectAt, textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import type { CheckContext, ClusterCheck } from './check-context.ts'
import { type CheckFinding, command, fail, ok } from './check-finding.ts'
import {
  findWebhook,
  isExcluded,
  MUTATING_WEBHOOK,
  nameOf,
  namespaceOf,
} from './check-installation.ts'
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
    const findings: CheckFinding[] = []
    for (const pod of without) {
      const place = `${namespaceOf(pod)}/${nameOf(pod)}`
      const { reason, todo } = await reasonFor(pod, context)
      findings.push(fail(`Pod ${place} wants artifacts and has none: ${reason}`, todo))
    }
    return findings
  },
}

interface Reason {
  readonly reason: string
  readonly todo: string
}

/** Why a pod has no artifacts, as far as one may know it. */
async function reasonFor(pod: JsonObject, context: CheckContext): Promise<Reason> {
  const remake = command('kubectl', '--namespace', namespaceOf(pod), 'delete', 'pod', nameOf(pod))
  const todo = `${remake} (its controller makes it anew)`
  try {
    return await explain(pod, context, todo)
  } catch (error) {
    if (!isCodedError(error, 'DENIED')) throw error
    return { reason: `cannot tell why: ${error.message}`, todo }
  }
}

async function explain(pod: JsonObject, { view }: CheckContext, remake: string): Promise<Reason> {
  if (annotationsOf(pod)[MIRROR] !== undefined) {
    return {
      reason: 'it is a static pod, which the kubelet makes without asking the API server',
      todo: 'use a DaemonSet instead of a file in /etc/kubernetes/manifests',
    }
  }
  const found = await findWebhook(view, MUTATING_WEBHOOK)
  if (found === undefined || creationOf(pod) < creationOf(found.configuration)) {
    return { reason: 'it was created before oras-csi was installed', todo: remake }
  }
  const namespace = namespaceOf(pod)
  if (await isExcluded(view, namespace)) {
    const object = await view.get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`)
    const labels = objectAlong(object, ['metadata', 'labels'])
    return {
      reason: `namespace ${namespace} is excluded from the webhook`,
      todo:
        textAt(labels, 'oras.land/inject') === undefined
          ? 'move it to another namespace: this one is never composed'
          : command('kubectl', 'label', 'namespace', namespace, 'oras.land/inject-'),
    }
  }
  return {
    reason: 'the webhook was not asked when it was created, or the annotation was added since',
    todo: remake,
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
