import { DRIVER_NAME } from '../common/composition/composition.ts'
import { isTrueAt, type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import type { CheckContext, ClusterCheck } from './check-context.ts'
import { type CheckFinding, command, fail, listed, ok, warn } from './check-finding.ts'
import {
  componentPods,
  driverDaemonSets,
  nameOf,
  namespaceOf,
  numberAt,
  reapply,
} from './check-installation.ts'
import { isReady } from './check-webhook.ts'
import { counted } from './text-table.ts'

/** Whether the driver's pods run. */
export const driverReady: ClusterCheck = {
  about: "whether the driver's pods run",
  needs: 'list daemonsets.apps',
  async run({ view }) {
    const sets = await driverDaemonSets(view)
    if (sets.length === 0) return [fail('There is no DaemonSet of the driver', reapply())]
    return sets.map((set) => {
      const about = `DaemonSet ${namespaceOf(set)}/${nameOf(set)}`
      const status = objectAt(set, 'status')
      const desired = numberAt(status, 'desiredNumberScheduled')
      const ready = numberAt(status, 'numberReady')
      const kubectl = (...words: readonly string[]) =>
        command('kubectl', '--namespace', namespaceOf(set), ...words)
      if (desired === 0) {
        return fail(
          `${about} is for no node at all: its nodeSelector or affinity fits none`,
          kubectl('get', 'daemonset', nameOf(set), '--output', 'wide'),
        )
      }
      const sum = `${about} has ${ready} of ${desired} pods ready`
      return ready === desired ? ok(sum) : fail(sum, kubectl('get', 'pods', '--output', 'wide'))
    })
  },
}

/** Whether the kubelet of each node that takes pods knows the driver, and if not, how its pod there fares. */
export const driverRegistered: ClusterCheck = {
  about: 'whether every node has the driver',
  needs: 'list nodes,csinodes',
  async run(context) {
    const { view } = context
    const [nodes, csiNodes] = [
      await view.list('/api/v1/nodes'),
      await view.list('/apis/storage.k8s.io/v1/csinodes'),
    ]
    const registered = new Set(csiNodes.filter(hasDriver).map(nameOf))
    const wanted = nodes.filter(takesPods)
    const lacking = wanted.filter((node) => !registered.has(nameOf(node)))
    const sum = `The driver is registered on ${wanted.length - lacking.length} of ${counted(wanted.length, 'node')} that take pods`
    if (lacking.length === 0) return [ok(sum)]
    const sets = await driverDaemonSets(view)
    const leftOut = lacking.filter(
      (node) => sets.length > 0 && !sets.some((set) => selects(set, node)),
    )
    const findings: CheckFinding[] = []
    if (leftOut.length > 0) {
      findings.push(
        warn(
          `The driver's nodeSelector leaves out ${listed(leftOut.map(nameOf))}: pods with artifacts cannot start there`,
          command('kubectl', 'get', 'nodes', '--show-labels'),
        ),
      )
    }
    for (const node of lacking.filter((one) => !leftOut.includes(one))) {
      findings.push(await lackingNode(context, node, sets))
    }
    return [
      ...(findings.some(({ severity }) => severity === 'error') ? [] : [ok(sum)]),
      ...findings,
    ]
  },
}

async function lackingNode(
  { view }: CheckContext,
  node: JsonObject,
  sets: readonly JsonObject[],
): Promise<CheckFinding> {
  const name = nameOf(node)
  const about = `Node ${name} lacks the driver: pods with artifacts cannot start there`
  for (const namespace of new Set(sets.map(namespaceOf))) {
    const pods = await componentPods(view, 'driver', namespace)
    const pod = pods.find((one) => textAt(objectAt(one, 'spec'), 'nodeName') === name)
    if (pod === undefined) continue
    const kubectl = (...words: readonly string[]) =>
      command('kubectl', '--namespace', namespace, ...words)
    return isReady(pod)
      ? fail(
          `${about}; its pod ${namespace}/${nameOf(pod)} is ready, but the kubelet does not know it: is --kubelet-directory that of the kubelet?`,
          kubectl('logs', nameOf(pod)),
        )
      : fail(
          `${about}; its pod ${namespace}/${nameOf(pod)} is ${stateOf(pod)}`,
          kubectl('describe', 'pod', nameOf(pod)),
        )
  }
  const notReady = isReady(node) ? '' : ' (the node is not ready)'
  return fail(
    `${about}; there is no pod of the driver on it${notReady}`,
    command('kubectl', 'describe', 'node', name),
  )
}

/** In the words of `kubectl get pods`. */
function stateOf(pod: JsonObject): string {
  const status = objectAt(pod, 'status')
  const phase = textAt(status, 'phase') ?? 'in no state'
  const reasons = objectsAt(status, 'containerStatuses').flatMap((container) => {
    const waiting = objectAlong(container, ['state', 'waiting'])
    const reason = textAt(waiting, 'reason')
    const message = textAt(waiting, 'message')
    return reason === undefined ? [] : [message === undefined ? reason : `${reason}: ${message}`]
  })
  return reasons.length > 0 ? `${phase}, ${reasons.join('; ')}` : `${phase}, not ready`
}

function hasDriver(csiNode: JsonObject): boolean {
  const drivers = objectsAt(objectAt(csiNode, 'spec'), 'drivers')
  return drivers.some((driver) => textAt(driver, 'name') === DRIVER_NAME)
}

/** Cordoned nodes get no new pods, and there is no driver for Windows. */
function takesPods(node: JsonObject): boolean {
  const labels = objectAlong(node, ['metadata', 'labels'])
  const system = textAt(labels, 'kubernetes.io/os') ?? 'linux'
  return !isTrueAt(objectAt(node, 'spec'), 'unschedulable') && system === 'linux'
}

function selects(set: JsonObject, node: JsonObject): boolean {
  const wanted = objectAlong(set, ['spec', 'template', 'spec', 'nodeSelector']) ?? {}
  const labels = objectAlong(node, ['metadata', 'labels']) ?? {}
  return Object.entries(wanted).every(([key, value]) => labels[key] === value)
}
