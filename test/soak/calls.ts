import { lstatSync } from 'node:fs'
import { status } from '@grpc/grpc-js'
import { isSystemError } from '../../common/errors.ts'
import { type Ground, MAX_STORE_BYTES, SLACK_BYTES, Violation } from './ground.ts'
import { noteTags, removePod, type SoakPod } from './pods.ts'

/** What the kubelet was told. */
export interface Outcome {
  readonly code: number
  readonly details: string
}

/** What may have gone wrong in a call, through no fault of the driver's. */
export interface Circumstances {
  /** The registry does not work as it should. */
  readonly isDisturbed: boolean
  readonly isHurried: boolean
  /** Asked when the answer is there. */
  readonly isKilled: () => boolean
}

export const UNTROUBLED: Circumstances = {
  isDisturbed: false,
  isHurried: false,
  isKilled: () => false,
}

const PATIENCE_MS = 60_000

/** Makes a call and gives the answer, whatever it is. */
export async function outcomeOf(call: Promise<unknown>): Promise<Outcome> {
  try {
    await call
    return { code: status.OK, details: '' }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && 'details' in error)) throw error
    return { code: Number(error.code), details: String(error.details) }
  }
}

/**
 * Asks for a pod's volume and notes what is known of it then. A pod that was refused is gone, and must have left nothing.
 *
 * @throws Violation when the answer is none that the circumstances allow
 */
export async function publish(
  ground: Ground,
  pod: SoakPod,
  circumstances: Circumstances,
  deadlineMs = PATIENCE_MS,
): Promise<Outcome> {
  const { tags, tally, pods, driver } = ground
  noteTags(pod, tags, circumstances.isDisturbed)
  ground.noteUse(pod)
  pods.set(pod.slot, pod)
  const outcome = await outcomeOf(driver.csi.nodePublishVolume(pod.request, { deadlineMs }))
  noteTags(pod, tags, circumstances.isDisturbed)
  ground.noteUse(pod)
  tally.add(`publish: ${status[outcome.code]}`)
  if (outcome.code === status.OK) {
    pod.state = 'published'
    return outcome
  }
  if (circumstances.isKilled()) {
    pod.state = 'unsure'
    return outcome
  }
  checkRefusal(ground, pod, outcome, circumstances)
  if (TIME_WAS_UP.includes(outcome.code)) {
    pod.state = 'unsure'
  } else {
    expectNothingLeft(ground, pod)
    pods.delete(pod.slot)
    await removePod(ground.node.kubeletDir, pod)
  }
  return outcome
}

const TIME_WAS_UP: readonly number[] = [status.ABORTED, status.DEADLINE_EXCEEDED]
const REGISTRY_FAILED: readonly number[] = [status.UNAVAILABLE, status.DATA_LOSS]

function checkRefusal(
  ground: Ground,
  pod: SoakPod,
  { code, details }: Outcome,
  { isDisturbed, isHurried }: Circumstances,
): void {
  const what = `${status[code]} "${details}" for ${JSON.stringify(pod.request.volume_context)}`
  if (code === status.RESOURCE_EXHAUSTED) {
    const needed = ground.neededBytes()
    if (needed + SLACK_BYTES < MAX_STORE_BYTES) {
      throw new Violation(`No room, while no more than ${needed} bytes can be in use: ${what}`)
    }
    return
  }
  if (TIME_WAS_UP.includes(code) && (isHurried || isDisturbed)) return
  if (REGISTRY_FAILED.includes(code) && isDisturbed) return
  throw new Violation(`Refused for no reason: ${what}`)
}

/** @throws Violation when something of a pod is on the node that was refused or has ended */
export function expectNothingLeft({ node }: Ground, { request }: SoakPod): void {
  const lease = `${node.storeDirectory}/volumes/${request.volume_id}.json`
  for (const path of [request.target_path, lease]) {
    if (exists(path)) throw new Violation(`Left behind: ${path}`)
  }
}

function exists(path: string): boolean {
  try {
    lstatSync(path)
    return true
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false
    throw error
  }
}

/**
 * Ends a pod.
 *
 * @throws Violation when that is refused, which nothing excuses, or when it leaves something
 */
export async function unpublish(ground: Ground, pod: SoakPod, times = 1): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    const { code, details } = await outcomeOf(ground.driver.csi.nodeUnpublishVolume(pod.request))
    ground.tally.add(`unpublish: ${status[code]}`)
    if (code !== status.OK) throw new Violation(`Cannot unpublish: ${status[code]} "${details}"`)
  }
  expectNothingLeft(ground, pod)
  ground.pods.delete(pod.slot)
  await removePod(ground.node.kubeletDir, pod)
}
