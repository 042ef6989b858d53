import { type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'
import type { ClusterCheck } from './check-context.ts'
import { type CheckFinding, command, fail, ok, warn } from './check-finding.ts'
import {
  componentPods,
  nameOf,
  namespaceOf,
  numberAt,
  reapply,
  webhookDeployment,
  webhookPlace,
} from './check-installation.ts'

/** One webhook pod that ends must not stop pods from being made. */
const LEAST_REPLICAS = 2

/** Whether the webhook runs, and goes on when a node fails. */
export const webhookReady: ClusterCheck = {
  about: 'whether the webhook runs',
  needs: 'list deployments.apps',
  async run({ view }) {
    const deployment = await webhookDeployment(view)
    const { namespace } = await webhookPlace(view)
    if (deployment === undefined) {
      return [fail(`There is no webhook Deployment in namespace ${namespace}`, reapply())]
    }
    const name = nameOf(deployment)
    const about = `Deployment ${namespaceOf(deployment)}/${name}`
    const wanted = objectAt(deployment, 'spec')?.['replicas'] ?? 1
    const ready = numberAt(objectAt(deployment, 'status'), 'readyReplicas')
    const kubectl = (...words: readonly string[]) =>
      command('kubectl', '--namespace', namespace, ...words)
    const more = kubectl('scale', `deployment/${name}`, `--replicas=${LEAST_REPLICAS}`)
    if (wanted === 0) {
      return [fail(`${about} has no replicas: every pod that wants artifacts is refused`, more)]
    }
    const look = kubectl('describe', 'pods', '--selector', 'app.kubernetes.io/component=webhook')
    if (ready === 0) {
      return [fail(`No pod of ${about} is ready: every pod that wants artifacts is refused`, look)]
    }
    const findings: CheckFinding[] = []
    if (ready < Number(wanted)) {
      findings.push(warn(`${about} has ${ready} of ${wanted} pods ready`, look))
    }
    if (Number(wanted) < LEAST_REPLICAS) {
      findings.push(
        warn(`${about} has 1 replica; expected ${LEAST_REPLICAS}, so that one may end`, more),
      )
    }
    return findings.length > 0 ? findings : [ok(`${about} has ${ready} of ${wanted} pods ready`)]
  },
}

/** Whether the webhook survives the end of a node. */
export const webhookSpread: ClusterCheck = {
  about: 'whether the webhook runs on several nodes',
  needs: 'list pods',
  async run({ view }) {
    const { namespace } = await webhookPlace(view)
    const pods = (await componentPods(view, 'webhook', namespace)).filter(isReady)
    const places = new Set(pods.map((pod) => textAt(objectAt(pod, 'spec'), 'nodeName') ?? ''))
    if (pods.length < LEAST_REPLICAS) return []
    if (places.size > 1) return [ok(`The webhook runs on ${places.size} nodes`)]
    if ((await view.list('/api/v1/nodes')).length === 1) return []
    return [
      warn(
        `All pods of the webhook run on node ${[...places].join('')}: when it fails, every pod that wants artifacts is refused`,
        command('kubectl', '--namespace', namespace, 'delete', 'pod', nameOf(pods[0] ?? {})),
      ),
    ]
  },
}

/** Answers whether a pod serves. */
export function isReady(pod: JsonObject): boolean {
  return objectsAt(objectAt(pod, 'status'), 'conditions').some(
    (one) => textAt(one, 'type') === 'Ready' && textAt(one, 'status') === 'True',
  )
}
