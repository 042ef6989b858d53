import { execFile } from 'node:child_process'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { detach, whyNoMounts } from '../support/mounts.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { makeArtifacts } from './artifacts.ts'
import { publish, UNTROUBLED, unpublish } from './calls.ts'
import { type Ground, startGround } from './ground.ts'
import { checkNode } from './invariants.ts'
import { makePod, type SoakPod } from './pods.ts'
import { missingIn } from './report.ts'
import { planStep } from './steps.ts'
import { createTally } from './tally.ts'

const why = await whyNoMounts()
const run = promisify(execFile)
const ARTIFACTS = makeArtifacts(1)
// No big ones: this is about what is found, not about load.
const FEW = ARTIFACTS.slice(0, 10)
const FILES = ARTIFACTS.findIndex(({ kind }) => kind === 'files')

interface Scene {
  readonly ground: Ground
  readonly pod: SoakPod
  readonly target: string
  readonly lease: string
}

/** What goes wrong, and how it is put right, so that the node can be removed. */
type Fault = (scene: Scene) => Promise<() => Promise<unknown>>

const FAULTS: readonly (readonly [what: string, violation: RegExp, fault: Fault])[] = [
  [
    'a file with another bit',
    /^Shows what it should not/,
    async ({ pod, ground }) => {
      const path = `${ground.node.storeDirectory}/${placeOf(pod)}/d0/text.txt`
      const before = await readFile(path)
      const wrong = Buffer.from(before)
      wrong[0] = (wrong[0] ?? 0) ^ 1
      await writeFile(path, wrong)
      return () => writeFile(path, before)
    },
  ],
  [
    'a file that is missing',
    /^Shows what it should not/,
    async ({ pod, ground }) => {
      const path = `${ground.node.storeDirectory}/${placeOf(pod)}/d1/text.txt`
      await rename(path, `${ground.node.storeDirectory}/elsewhere`)
      return () => rename(`${ground.node.storeDirectory}/elsewhere`, path)
    },
  ],
  [
    'a held tree that is evicted',
    /^Shows "\/.*\/trashed\/root"/,
    async ({ pod, ground }) => {
      const tree = dirname(`${ground.node.storeDirectory}/${placeOf(pod)}`)
      // Beside the trash, which the driver empties.
      const gone = `${ground.node.storeDirectory}/trashed`
      await rename(tree, gone)
      return () => rename(gone, tree)
    },
  ],
  [
    'a volume that is not mounted',
    /^Not mounted/,
    async ({ target }) => {
      await detach(target)
      return async () => undefined
    },
  ],
  [
    'a volume that is mounted twice',
    /^Mounted 2 times/,
    async ({ target }) => {
      await run('mount', ['--bind', target, target])
      return () => detach(target)
    },
  ],
  [
    'a volume that can be written to',
    /^Mounted rw,/,
    async ({ target }) => {
      await run('mount', ['-o', 'remount,bind,rw', target])
      return async () => undefined
    },
  ],
  [
    'a mount without a pod',
    /^Mounted for nobody/,
    async ({ target, ground }) => {
      const other = `${ground.node.kubeletDir}/pods`
      await run('mount', ['--bind', '--mkdir', target, `${other}/nobody`])
      return () => detach(`${other}/nobody`)
    },
  ],
  [
    'a lease that is lost',
    /^no lease/,
    async ({ lease }) => {
      const before = await readFile(lease)
      await rm(lease)
      return () => writeFile(lease, before)
    },
  ],
  [
    'a lease without a pod',
    /^A lease for nobody: nobody/,
    async ({ lease, ground }) => {
      const other = `${ground.node.storeDirectory}/volumes/nobody.json`
      await writeFile(other, await readFile(lease))
      return () => rm(other)
    },
  ],
]

test('the soak test finds each of these faults', { timeout: 60_000 }, async (context) => {
  skipUnless(context, why)
  await using ground = await startGround(FEW)
  const { registry, node } = ground
  const faults = [
    ...FAULTS.map((fault) => ({ fault, isWritable: false })),
    ...PRIVATE_FAULTS.map((fault) => ({ fault, isWritable: true })),
  ]
  for (const { fault, isWritable } of faults) {
    const [what, violation, makeFault] = fault
    const pod = await makePod(
      { slot: 0, sources: [{ artifact: FILES, by: 'tag', version: 0 }], isWritable },
      {
        ...{ generation: ground.nextGeneration(), host: registry.host, artifacts: FEW },
        kubeletDir: node.kubeletDir,
      },
    )
    await publish(ground, pod, UNTROUBLED)
    await checkNode(ground)
    const { target_path: target, volume_id } = pod.request
    const lease = `${node.storeDirectory}/volumes/${volume_id}.json`
    const putRight = await makeFault({ ground, pod, target, lease })
    try {
      await expect(checkNode(ground), what).rejects.toThrow(violation)
    } finally {
      await putRight()
      await unpublish(ground, pod)
    }
  }
})

const PRIVATE_FAULTS: readonly (readonly [what: string, violation: RegExp, fault: Fault])[] = [
  [
    'what another pod has written',
    /^Shows what somebody else has written/,
    async ({ target }) => {
      await writeFile(`${target}/.written-by-the-pod`, 'somebody else')
      return async () => undefined
    },
  ],
  [
    'a file that nobody has put there',
    /^Shows what it should not/,
    async ({ target }) => {
      await writeFile(`${target}/d0/more`, '')
      return async () => undefined
    },
  ],
  [
    'a private volume that cannot be written to',
    /^Mounted ro,/,
    async ({ target }) => {
      await run('mount', ['-o', 'remount,bind,ro', target])
      return async () => undefined
    },
  ],
]

test('a run that did nothing proves nothing', () => {
  const missing = missingIn({ tally: createTally() }, 120)
  expect(missing).toContain('evictions')
  expect(missing).toContain('driver ended by SIGKILL')
})

test('the same seed, phase and number give the same step, and every kind of step comes', () => {
  const plan = () =>
    Array.from({ length: 100 }, (_, number) => planStep(7, 'storm', number, ARTIFACTS))
  expect(plan()).toEqual(plan())
  expect([...new Set(plan().map(({ kind }) => kind))].sort()).toEqual([
    'abandon',
    'conflict',
    'move-tags',
    'publish',
    'republish',
    'restart',
    'unpublish',
    'unpublish-unknown',
  ])
})

/** Where the store has what a pod shows, e.g. `trees/KEY/root`. */
function placeOf({ root }: SoakPod): string {
  const place = /(?:trees|views)\/[0-9a-f]{64}\/root$/.exec(root ?? '')?.[0]
  if (place === undefined) throw new Error(`Shows nothing: ${root}`)
  return place
}
