import { DRIVER_NAME } from '../common/composition/composition.ts'
import { type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'
import type { ClusterCheck } from './check-context.ts'
import { type CheckFinding, command, fail, ok, warn } from './check-finding.ts'
import { nameOf, namespaceOf } from './check-installation.ts'

/** Each is asked for by itself. */
const MAX_PODS = 100

/** Pods that wait for a volume of the driver, with what it says. Events live an hour, and a pod that waits has new ones all the time. */
export const stuckMounts: ClusterCheck = {
  about: 'whether pods wait for their artifacts',
  needs: 'list events,pods',
  async run({ view, namespace }) {
    const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
    const events = await view.list(`/api/v1${scope}/events?fieldSelector=reason%3DFailedMount`)
    const latest = new Map<string, JsonObject>()
    for (const event of events.toSorted((one, other) => timeOf(one) - timeOf(other))) {
      const about = objectAt(event, 'involvedObject')
      const [kind, uid] = [textAt(about, 'kind'), textAt(about, 'uid')]
      if (kind === 'Pod' && uid !== undefined && volumeOf(event) !== undefined) {
        latest.set(uid, event)
      }
    }
    const findings: CheckFinding[] = []
    for (const [uid, event] of [...latest].slice(-MAX_PODS)) {
      const about = objectAt(event, 'involvedObject') ?? {}
      const [place, name] = [textAt(about, 'namespace') ?? 'default', textAt(about, 'name') ?? '']
      const pod = await view.get(
        `/api/v1/namespaces/${encodeURIComponent(place)}/pods/${encodeURIComponent(name)}`,
      )
      if (pod === undefined || !waits(pod, uid, volumeOf(event))) continue
      findings.push(
        fail(
          `Pod ${namespaceOf(pod)}/${nameOf(pod)} waits for its artifacts: ${whyOf(event)}`,
          command('kubectl', '--namespace', place, 'describe', 'pod', name),
        ),
      )
    }
    if (latest.size > MAX_PODS) {
      findings.push(
        warn(
          `${latest.size} pods have failed mounts; the latest ${MAX_PODS} were looked at`,
          'oras-csi check --namespace NAMESPACE',
        ),
      )
    }
    return findings.length > 0 ? findings : [ok('No pod waits for a volume of the driver')]
  },
}

/** `MountVolume.SetUp failed for volume "oras-app" : rpc error: code = NotFound desc = ...` */
const MESSAGE = /^MountVolume\.\w+(?: initialization)? failed for volume "([^"]+)" : ([\s\S]*)$/
const RPC = /^rpc error: code = \w+ desc = /

function volumeOf(event: JsonObject): string | undefined {
  return MESSAGE.exec(textAt(event, 'message') ?? '')?.[1]
}

function whyOf(event: JsonObject): string {
  const message = textAt(event, 'message') ?? ''
  return (MESSAGE.exec(message)?.[2] ?? message).replace(RPC, '')
}

/** Whether it is that pod still, has started nothing yet, and the volume is ours. */
function waits(pod: JsonObject, uid: string, volume: string | undefined): boolean {
  if (textAt(objectAt(pod, 'metadata'), 'uid') !== uid) return false
  if (textAt(objectAt(pod, 'status'), 'phase') !== 'Pending') return false
  return objectsAt(objectAt(pod, 'spec'), 'volumes').some(
    (one) =>
      textAt(one, 'name') === volume && textAt(objectAt(one, 'csi'), 'driver') === DRIVER_NAME,
  )
}

function timeOf(event: JsonObject): number {
  const times = [
    textAt(event, 'lastTimestamp'),
    textAt(objectAt(event, 'series'), 'lastObservedTime'),
    textAt(event, 'eventTime'),
  ]
  return Math.max(0, ...times.flatMap((time) => (time === undefined ? [] : [Date.parse(time)])))
}
