import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { type Mount, readMounts } from '../support/mounts.ts'
import { expectNothingLeft } from './calls.ts'
import { type Ground, MAX_STORE_BYTES, pause, SLACK_BYTES, Violation } from './ground.ts'
import { acceptedTexts, removePod, type SoakPod } from './pods.ts'
import { ownMark, shownText, writeError } from './shown-tree.ts'
import { contentBytes, entriesIn } from './store-size.ts'

/** How long the driver may take to do in the background what it must. */
const SETTLED_MS = 30_000
const LOOK_EVERY_MS = 100

/**
 * Checks everything that must be so after each step.
 *
 * @throws Violation saying what is wrong
 */
export async function checkNode(ground: Ground): Promise<void> {
  checkProcess(ground)
  const mounts = await podMounts(ground)
  const leases = readLeases(ground)
  const hashes = new Map<string, string>()
  for (const pod of ground.pods.values()) {
    const shown = mounts.get(pod.request.target_path) ?? []
    if (shown.length > 0) checkMount(pod, shown, hashes, ground)
    else if (pod.state === 'published') throw new Violation(`Not mounted: ${about(pod)}`)
    if (pod.state === 'published') checkLease(pod, leases.get(pod.request.volume_id), ground)
  }
  const known = [...ground.pods.values(), ...ground.abandoned]
  const targets = new Set(known.map(({ request }) => request.target_path))
  for (const target of mounts.keys()) {
    if (!targets.has(target)) throw new Violation(`Mounted for nobody: ${target}`)
  }
  const volumes = new Set(known.map(({ request }) => request.volume_id))
  for (const id of leases.keys()) {
    if (!volumes.has(id)) throw new Violation(`A lease for nobody: ${id}`)
  }
  ground.tally.add('volumes looked through', mounts.size)
  ground.tally.add('files hashed', hashes.size)
}

function checkProcess({ driver }: Ground): void {
  const { lines, output } = driver.process
  if (!existsSync(`/proc/${driver.process.pid}/fd`)) {
    throw new Violation(`The driver has ended:\n${output()}`)
  }
  const error = lines.find(
    ({ json, stream }) => Number(json?.['level']) >= 50 || stream === 'stderr',
  )
  if (error !== undefined) throw new Violation(`The driver reports an error: ${error.text}`)
}

/** By target, in the order of the table. */
async function podMounts({ node }: Ground): Promise<ReadonlyMap<string, readonly Mount[]>> {
  const below = (await readMounts()).filter(({ mountPoint }) =>
    mountPoint.startsWith(`${node.kubeletDir}/pods/`),
  )
  return Map.groupBy(below, ({ mountPoint }) => mountPoint)
}

function checkMount(
  pod: SoakPod,
  shown: readonly Mount[],
  hashes: Map<string, string>,
  { tally }: Ground,
): void {
  const [mount, ...more] = shown
  if (mount === undefined || more.length > 0) {
    throw new Violation(`Mounted ${shown.length} times: ${about(pod)}`)
  }
  const options = mount.options.slice(0, 3).join()
  if (options !== `${pod.isWritable ? 'rw' : 'ro'},nosuid,nodev`) {
    throw new Violation(`Mounted ${options}: ${about(pod)}`)
  }
  const root = shownRoot(mount)
  // What was evicted is shown with its place in the trash.
  if (!/\/(?:trees|views)\/[0-9a-f]{64}\/root$/.test(root)) {
    throw new Violation(`Shows "${root}": ${about(pod)}`)
  }
  pod.root ??= root
  if (pod.root !== root) {
    throw new Violation(`Shows "${root}", and did show "${pod.root}": ${about(pod)}`)
  }
  const { target_path } = pod.request
  const accepted = acceptedTexts(pod)
  if (pod.isWritable) checkPrivate(pod, mount)
  const text = shownText(target_path, hashes, pod.isWritable ? OWN_FILE : undefined)
  if (!accepted.has(text)) {
    throw new Violation(
      `Shows what it should not: ${about(pod)}\n${text}\n-- expected --\n${[...accepted].join('\n-- or --\n')}`,
    )
  }
  const error = pod.isWritable ? 'EROFS' : writeError(target_path)
  if (error !== 'EROFS') throw new Violation(`Written to, ${error}: ${about(pod)}`)
  if (pod.isWritable) tally.add('private volumes right')
  tally.add(pod.state === 'published' ? 'volumes right' : 'volumes right, unasked')
}

/** What a pod writes into its private volume. */
const OWN_FILE = '.written-by-the-pod'

/** The directory that is shown; of a private volume, the one that lies below what the pod writes. */
function shownRoot({ type, root, superOptions }: Mount): string {
  if (type !== 'overlay') return root
  return superOptions.find((option) => option.startsWith('lowerdir='))?.slice(9) ?? ''
}

/** What a pod has written is there as long as the volume is, through every restart of the driver, and nobody else sees it. */
function checkPrivate(pod: SoakPod, mount: Mount): void {
  if (mount.type !== 'overlay') throw new Violation(`Writes into "${mount.root}": ${about(pod)}`)
  const mark = ownMark(pod.request.target_path, OWN_FILE, pod.uid)
  if (mark !== pod.uid) throw new Violation(`Shows what ${mark} has written: ${about(pod)}`)
}

interface LeaseFile {
  readonly target: string
  readonly trees: readonly string[]
  readonly views: readonly string[]
  readonly mounted: boolean
}

/** By volume. Read as they are, not through the code that wrote them. */
function readLeases({ node }: Ground): ReadonlyMap<string, LeaseFile> {
  const directory = `${node.storeDirectory}/volumes`
  const names = readdirSync(directory).filter((name) => name.endsWith('.json') && name[0] !== '.')
  return new Map(
    names.flatMap((name) => {
      const text = textOf(`${directory}/${name}`)
      return text === undefined ? [] : [[name.slice(0, -'.json'.length), JSON.parse(text)]]
    }),
  )
}

/** Undefined when it is gone: of a pod that nobody waits for, it may be at any time. */
function textOf(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

function checkLease(pod: SoakPod, lease: LeaseFile | undefined, { node }: Ground): void {
  const fault =
    lease === undefined
      ? 'no lease'
      : !lease.mounted || lease.target !== pod.request.target_path
        ? `lease ${JSON.stringify(lease)}`
        : undefined
  if (fault !== undefined || lease === undefined) throw new Violation(`${fault}: ${about(pod)}`)
  const [view] = lease.views
  const shown = view === undefined ? `trees/${lease.trees[0]}` : `views/${view}`
  if (pod.root?.endsWith(`/${shown}/root`) !== true) {
    throw new Violation(`The lease holds "${shown}", shown is "${pod.root}": ${about(pod)}`)
  }
  const keys = [
    ...lease.trees.map((key) => `trees/${key}`),
    ...lease.views.map((key) => `views/${key}`),
  ]
  for (const key of keys) {
    if (!existsSync(`${node.storeDirectory}/${key}/meta.json`)) {
      throw new Violation(`Evicted, while a lease holds it: "${key}" of ${about(pod)}`)
    }
  }
}

/**
 * Waits until the driver has done in the background what it must: pods that were abandoned are gone, the store takes no more than it may, and nothing is
 * left in the trash or half built.
 *
 * @throws Violation when it does not come to that
 */
export async function checkSettled(ground: Ground): Promise<void> {
  const deadline = performance.now() + SETTLED_MS
  for (;;) {
    const open = await unsettled(ground)
    if (open === undefined) break
    checkProcess(ground)
    if (performance.now() > deadline) throw new Violation(`After ${SETTLED_MS} ms: ${open}`)
    await pause(LOOK_EVERY_MS)
  }
  for (const pod of ground.abandoned) {
    expectNothingLeft(ground, pod)
    await removePod(ground.node.kubeletDir, pod)
    ground.tally.add('abandoned pods ended')
  }
  ground.abandoned.clear()
  ground.tally.add('store settled')
}

async function unsettled(ground: Ground): Promise<string | undefined> {
  const { node, abandoned } = ground
  const mounts = await podMounts(ground)
  const leases = readLeases(ground)
  for (const pod of abandoned) {
    const { target_path, volume_id } = pod.request
    if (mounts.has(target_path)) return `still mounted: ${about(pod)}`
    if (leases.has(volume_id)) return `still leased: ${about(pod)}`
  }
  for (const name of ['trash', 'staging']) {
    const left = entriesIn(`${node.storeDirectory}/${name}`)
    if (left.length > 0) return `in ${name}: ${left.join(', ')}`
  }
  const found = contentBytes(node.storeDirectory)
  const allowed = Math.max(MAX_STORE_BYTES, ground.neededBytes()) + SLACK_BYTES
  if (found > allowed) return `the store takes ${found} bytes, and may take ${allowed}`
  return undefined
}

function about(pod: SoakPod): string {
  return `${pod.uid} (${pod.state}) ${JSON.stringify(pod.request.volume_context)}`
}
