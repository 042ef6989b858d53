import { ANNOTATION_PREFIX } from '../common/composition/composition.ts'
import { isTrueAt, type JsonObject, objectAt, objectsAt } from '../webhook/json.ts'
import type { ClusterCheck } from './check-context.ts'
import { type CheckFinding, fail, ok, warn } from './check-finding.ts'
import { namespaceOf } from './check-installation.ts'
import { reviewObject } from './object-review.ts'
import { counted } from './text-table.ts'

const KINDS = [
  ...['deployments', 'statefulsets', 'daemonsets', 'replicasets'].map((kind) => ['apps', kind]),
  ...['jobs', 'cronjobs'].map((kind) => ['batch', kind]),
] as const

/** Workloads whose pods would be denied, by the webhook's own code: as `oras-csi lint` says of files. */
export const workloadTemplates: ClusterCheck = {
  about: 'whether workloads ask for artifacts as they should',
  needs: 'list deployments,statefulsets,daemonsets,replicasets,jobs,cronjobs',
  async run({ view, namespace }) {
    const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
    const workloads: JsonObject[] = []
    // One kind after the other, and of each only what counts is kept: a cluster may have very many ReplicaSets and Jobs.
    for (const [group, kind] of KINDS) {
      const list = await view.list(`/apis/${group}/v1${scope}/${kind}`)
      workloads.push(...list.filter((one) => !isControlled(one) && speaksOfUs(one)))
    }
    const findings = workloads.flatMap(findingsOf)
    const sum = `${counted(workloads.length, 'workload')} with annotations of ours`
    return findings.length > 0 ? findings : [ok(`${sum}, none of which would be denied`)]
  },
}

function findingsOf(workload: JsonObject): readonly CheckFinding[] {
  return reviewObject(workload).findings.map(({ severity, message, name }) => {
    const text = `${name} in ${namespaceOf(workload)}: ${message}`
    const todo = 'oras-csi lint FILE (of its manifest) says where'
    return severity === 'error' ? fail(text, todo) : warn(text, todo)
  })
}

/** Nobody mends what a controller has copied from its own object. */
function isControlled(workload: JsonObject): boolean {
  return objectsAt(objectAt(workload, 'metadata'), 'ownerReferences').some((one) =>
    isTrueAt(one, 'controller'),
  )
}

/** Most workloads do not: they are not looked into. */
function speaksOfUs(workload: JsonObject): boolean {
  return JSON.stringify(workload).includes(`"${ANNOTATION_PREFIX}`)
}
