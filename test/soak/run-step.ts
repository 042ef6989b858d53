import { rm } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import pLimit from 'p-limit'
import { outcomeOf, publish, UNTROUBLED, unpublish } from './calls.ts'
import { type Ground, Violation } from './ground.ts'
import { makePod, makePodDirectories, type SoakPod } from './pods.ts'
import { makeTrouble } from './registry-trouble.ts'
import type { KillPlan, Step } from './steps.ts'

type PublishStep = Extract<Step, { readonly kind: 'publish' }>

/** So many calls at once as a kubelet makes when it starts. */
const LANES = 40
/** A pull that nobody waits for may just be failing when somebody comes for it after all. */
const TRIES_AFTER_TROUBLE = 3

/**
 * Does one step. When it returns, no call is under way, and a driver runs.
 *
 * @throws Violation
 */
export async function runStep(ground: Ground, step: Step): Promise<void> {
  ground.tally.add(`step: ${step.kind}`)
  switch (step.kind) {
    case 'publish':
      return runPublish(ground, step)
    case 'unpublish':
      return forEachPod(ground, step.slots, (pod) => unpublish(ground, pod, step.isTwice ? 2 : 1))
    case 'unpublish-unknown':
      return unpublishUnknown(ground, step.name)
    case 'republish':
      return republish(ground, step)
    case 'conflict':
      return forEachPod(ground, step.slots, (pod) => expectConflict(ground, pod))
    case 'move-tags':
      for (const artifact of step.artifacts) ground.moveTag(artifact)
      return
    case 'abandon':
      return forEachPod(ground, step.slots, (pod) => abandon(ground, pod))
    case 'restart':
      return ground.restart(step.signal)
  }
}

async function runPublish(ground: Ground, step: PublishStep): Promise<void> {
  const { registry, tally, artifacts, node } = ground
  const slots = step.volumes.map(({ slot }) => slot)
  const refused: number[] = []
  let isKilled = false
  {
    using trouble = makeTrouble(registry, step.faults)
    // 1. The kubelet ends what is there, whatever the registry does.
    await forEachPod(ground, slots, (pod) => unpublish(ground, pod))

    // 2. All at once.
    using killer = armKiller(ground, step.kill, () => {
      isKilled = true
    })
    using _ = afterRequests(ground, 2, () => {
      for (const artifact of step.moves) ground.moveTag(artifact)
    })
    const limit = pLimit(LANES)
    await Promise.all(
      step.volumes.map((plan) =>
        limit(async () => {
          const generation = ground.nextGeneration()
          const options = { generation, host: registry.host, kubeletDir: node.kubeletDir }
          const pod = await makePod(plan, { ...options, artifacts })
          const { code } = await publish(
            ground,
            pod,
            {
              isDisturbed: step.faults.length > 0,
              isHurried: step.deadlineMs !== undefined,
              isKilled: () => isKilled,
            },
            step.deadlineMs,
          )
          killer.noteAnswer()
          if (code !== status.OK && code !== status.RESOURCE_EXHAUSTED) refused.push(plan.slot)
        }),
      ),
    )
    for (const [name, hits] of trouble.hits()) tally.add(`fault: ${name}`, hits)
  }
  if (step.kill !== undefined) {
    // It may have had nothing left to be killed in.
    isKilled = true
    await ground.restart('SIGKILL')
    tally.add(`killed at ${step.kill.at}`)
  }

  // 3. The kubelet comes again for every second one that it has no answer for, and ends the others.
  await forEachPod(ground, slots, async (pod) => {
    if (pod.state !== 'unsure') return
    if (pod.slot % 2 === 0) await publishAfterTrouble(ground, pod)
    else if (step.kill !== undefined) await unpublish(ground, pod)
  })

  // 4. What was refused works when the registry does.
  for (const plan of step.volumes) {
    if (!refused.includes(plan.slot) || ground.pods.has(plan.slot)) continue
    const generation = ground.nextGeneration()
    const options = { generation, host: registry.host, kubeletDir: node.kubeletDir, artifacts }
    await publishAfterTrouble(ground, await makePod(plan, options))
  }
}

/** @throws Violation when it still fails, and not for want of room */
async function publishAfterTrouble(ground: Ground, pod: SoakPod): Promise<void> {
  for (let time = 1; time <= TRIES_AFTER_TROUBLE; time += 1) {
    await makePodDirectories(ground.node.kubeletDir, pod)
    const isLast = time === TRIES_AFTER_TROUBLE
    const { code } = await publish(ground, pod, { ...UNTROUBLED, isDisturbed: !isLast })
    if (code === status.OK) ground.tally.add(`after trouble: well at try ${time}`)
    if (code === status.OK || code === status.RESOURCE_EXHAUSTED) return
  }
}

/** Kills the driver when the plan says so. */
function armKiller(ground: Ground, plan: KillPlan | undefined, onKill: () => void) {
  let answers = 0
  let isDone = plan === undefined
  const { process } = ground.driver
  const kill = () => {
    if (isDone) return
    isDone = true
    onKill()
    process.kill('SIGKILL')
  }
  using stack = new DisposableStack()
  if (plan?.at === 'request') stack.use(afterRequests(ground, plan.count, kill))
  if (plan?.at === 'time') {
    const timer = setTimeout(kill, plan.ms)
    stack.defer(() => clearTimeout(timer))
  }
  const armed = stack.move()
  return {
    noteAnswer() {
      answers += 1
      if (plan?.at === 'answer' && answers === plan.count) kill()
    },
    [Symbol.dispose]: () => {
      isDone = true
      armed.dispose()
    },
  }
}

/** Acts when the registry gets its next so many requests. */
function afterRequests({ registry }: Ground, count: number, act: () => void): Disposable {
  let seen = 0
  const where = () => {
    seen += 1
    if (seen === count) act()
    return false
  }
  const watch = registry.fault({ where }, { kind: 'delay', ms: 0 })
  return { [Symbol.dispose]: () => watch.remove() }
}

async function unpublishUnknown({ driver, node, tally }: Ground, name: string): Promise<void> {
  const request = await node.request(name, 'registry.example/never/published:v1')
  const { code, details } = await outcomeOf(driver.csi.nodeUnpublishVolume(request))
  tally.add(`unpublish of the unknown: ${status[code]}`)
  if (code !== status.OK) throw new Violation(`Cannot unpublish the unknown: ${details}`)
  await rm(`${node.kubeletDir}/pods/uid-${name}`, { recursive: true })
}

/** As a kubelet that was restarted: what is mounted is answered for, also without a registry. */
async function republish(
  ground: Ground,
  { slots, isRegistryDown }: Extract<Step, { readonly kind: 'republish' }>,
): Promise<void> {
  using _ = makeTrouble(ground.registry, isRegistryDown ? ['unavailable'] : [])
  await forEachPod(ground, slots, async (pod) => {
    if (pod.state !== 'published') return
    const { code, details } = await outcomeOf(ground.driver.csi.nodePublishVolume(pod.request))
    ground.tally.add(`publish again: ${status[code]}`)
    if (code !== status.OK) throw new Violation(`Cannot publish again: ${details}`)
  })
}

/** Another request for the same volume is refused, and changes nothing. */
async function expectConflict({ driver, tally }: Ground, pod: SoakPod): Promise<void> {
  if (pod.state !== 'published') return
  const volume_context = { ...pod.request.volume_context, 'oras.artifact.modes': 'keep' }
  const request = { ...pod.request, volume_context }
  const { code, details } = await outcomeOf(driver.csi.nodePublishVolume(request))
  tally.add(`publish of something else: ${status[code]}`)
  if (code !== status.ALREADY_EXISTS) {
    throw new Violation(`Published over something else: ${status[code]} "${details}"`)
  }
}

/** As a kubelet leaves a pod that it has done with and could not unmount. */
async function abandon(ground: Ground, pod: SoakPod): Promise<void> {
  pod.state = 'abandoned'
  ground.pods.delete(pod.slot)
  ground.abandoned.add(pod)
  ground.tally.add('pods abandoned')
  await rm(`${ground.node.kubeletDir}/pods/${pod.uid}/plugins`, { recursive: true })
}

async function forEachPod(
  { pods }: Ground,
  slots: readonly number[],
  act: (pod: SoakPod) => Promise<void>,
): Promise<void> {
  await Promise.all(slots.flatMap((slot) => pods.get(slot) ?? []).map(act))
}
