import { createHash } from 'node:crypto'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { artifact, type Built, load } from '../../../support/artifact.ts'
import { startNode } from '../../../support/driver.ts'
import { poll } from '../../../support/poll.ts'
import { startRegistry, type TestRegistry } from '../../../support/registry.ts'
import { treeOf } from '../tree/tree-fixture.ts'

/** What an attack aims at: files that no artifact may change, read or link. */
export interface Canary {
  /** Absolute, without its leading slash where a name is to be absolute anyway. */
  readonly path: string
  /** Leads from the root of a tree that is being built to {@link path}. */
  readonly fromTree: string
}

/** An artifact, or what a registry is to serve beside it. */
export type Attack = Built | ((canary: Canary, registry: TestRegistry) => Built)

/** A node whose driver is attacked again and again. */
export interface AttackedNode extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly canary: Canary
  /** Publishes what must be refused; gives `GRPC_CODE message` with the reference as `REF`, hex digests as `HEX` and the canary as `CANARY`. */
  refusal(attack: Attack, options?: AttackOptions): Promise<string>
  /** Publishes what must come to nothing worse than a tree of its own; gives that tree. */
  tree(attack: Attack): Promise<Record<string, string>>
  /** What stands in a volume while `look` is called. */
  published<T>(attack: Attack, look: (target: string) => T | Promise<T>): Promise<T>
}

export interface AttackOptions {
  readonly attributes?: Readonly<Record<string, string>>
  /** Instead of the reference to the artifact. */
  readonly reference?: (host: string) => string
}

const GOOD = artifact({ layers: [{ title: 'good.txt', content: 'good' }] })

/** Where the driver writes while it works; nothing may come to stand anywhere else. */
const WORKING = ['kubelet/pods', 'kubelet/plugins/csi.oras.land/store']

/** Starts a registry, a node and its driver, and lays out a canary beside the kubelet's directory. */
export async function startAttackedNode(
  options: {
    readonly args?: readonly string[]
    /** Where `args` put the store, if they do. */
    readonly storeDirectory?: string
  } = {},
): Promise<AttackedNode> {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  const node = stack.use(await startNode(registry))
  const driver = stack.use(await node.startDriver({ args: options.args ?? [] }))
  const surroundings = dirname(node.kubeletDir)
  const canary = layCanary(join(surroundings, 'canary'))
  const store = options.storeDirectory ?? node.storeDirectory
  const trees = join(store, 'trees')
  load(registry, 'acme/good:v1', GOOD)
  let count = 0

  /** Everything around the driver, as it must be afterwards; with the trees, which no refused artifact may add to. */
  const outside = () => ({
    canary: listing(canary.path),
    names: namesBelow(surroundings),
    trees: Object.fromEntries(
      readdirSync(trees).map((key) => [key, listing(join(trees, key, 'root'))]),
    ),
  })

  const publishGood = async () => {
    const request = await node.request(`good-${count++}`, `${registry.host}/acme/good:v1`)
    await driver.csi.nodePublishVolume(request)
    expect(readFileSync(join(request.target_path, 'good.txt'), 'utf8')).toBe('good')
    await driver.csi.nodeUnpublishVolume(request)
  }

  /** What is left of a job in the store: nothing, once it has settled. */
  const expectSettled = () =>
    poll(
      () =>
        ['staging', 'trash', 'volumes'].every(
          (name) => readdirSync(join(store, name)).length === 0,
        ),
      { deadlineMs: 10_000, what: 'staging, trash and volumes to be empty' },
    )

  const request = (attack: Attack, { attributes = {}, reference }: AttackOptions = {}) => {
    const name = `acme/attack:v${count++}`
    load(registry, name, typeof attack === 'function' ? attack(canary, registry) : attack)
    const named = reference === undefined ? `${registry.host}/${name}` : reference(registry.host)
    return node.request(`pod-${count}`, named, { attributes })
  }

  const plain = (text: string) =>
    text
      .replaceAll(new RegExp(`${registry.host}/acme/attack:v\\d+`, 'g'), 'REF')
      .replaceAll(registry.host, 'HOST')
      .replaceAll(canary.path, 'CANARY')
      .replaceAll(/[0-9a-f]{64}/g, 'HEX')

  // The tree of the good artifact is there before anything is compared.
  await publishGood()
  const running = stack.move()
  const attacked: AttackedNode = {
    registry,
    canary,
    async refusal(attack, attackOptions) {
      const asked = await request(attack, attackOptions)
      const before = outside()
      const answer = await driver.csi.nodePublishVolume(asked).then(
        () => 'published',
        (error: { code: number; details: string }) =>
          `${status[error.code]} ${plain(error.details)}`,
      )
      await driver.csi.nodeUnpublishVolume(asked)
      await expectSettled()
      const { trees: left, ...after } = outside()
      expect(after).toEqual({ canary: before.canary, names: before.names })
      // None is new or other than it was; of a full disk, some may have been evicted.
      expect(before.trees).toMatchObject(left)
      await publishGood()
      return answer
    },
    async published(attack, look) {
      const asked = await request(attack)
      const before = outside()
      await driver.csi.nodePublishVolume(asked)
      try {
        return await look(asked.target_path)
      } finally {
        await driver.csi.nodeUnpublishVolume(asked)
        await expectSettled()
        // It is served as a tree of its own; every other is as it was.
        expect(outside()).toMatchObject(before)
        await publishGood()
      }
    },
    tree: (attack) => attacked.published(attack, (target) => treeOf(target)),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
  return attacked
}

function layCanary(path: string): Canary {
  mkdirSync(join(path, 'directory'), { recursive: true })
  writeFileSync(join(path, 'secret'), 'not yours', { mode: 0o600 })
  writeFileSync(join(path, 'directory', 'program'), '#!/bin/sh\n')
  chmodSync(join(path, 'directory', 'program'), 0o4755)
  symlinkSync('secret', join(path, 'link'))
  // From DIRECTORY/kubelet/plugins/csi.oras.land/store/staging/ID/root.
  return { path, fromTree: `${'../'.repeat(7)}canary` }
}

/** The paths below a directory, those in {@link WORKING} left out; links are not followed, as a recursive `readdir` would. */
function namesBelow(root: string, directory = ''): string[] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    return entry.isDirectory() && !WORKING.includes(path)
      ? [path, ...namesBelow(root, path)]
      : [path]
  })
}

/** Everything below a directory, links not followed: kind, mode, owner, inode, number of names, time, and the content's hash. */
export function listing(root: string): Record<string, string> {
  const found: Record<string, string> = {}
  const visit = (path: string) => {
    const absolute = join(root, path)
    const { mode, uid, gid, ino, nlink, mtimeNs, ...stat } = lstatSync(absolute, { bigint: true })
    const content = () => {
      if (lstatSync(absolute).isFile()) {
        return createHash('sha256').update(readFileSync(absolute)).digest('hex')
      }
      return lstatSync(absolute).isSymbolicLink() ? readlinkSync(absolute) : stat.rdev
    }
    found[path] = `${mode.toString(8)} ${uid}:${gid} ${ino} ${nlink} ${mtimeNs} ${content()}`
    if (!lstatSync(absolute).isDirectory()) return
    for (const name of readdirSync(absolute)) visit(join(path, name))
  }
  visit('')
  return found
}
