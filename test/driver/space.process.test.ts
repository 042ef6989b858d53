import { randomBytes } from 'node:crypto'
import { statfsSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { isSystemError } from '../../common/errors.ts'
import { type Digest, digestOf } from '../../common/oci/digest.ts'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import type { PublishRequest } from '../support/kubelet.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { type SmallFileSystem, smallFileSystem } from '../support/small-file-system.ts'
import { tarOf } from '../support/tar.ts'

const why = await whyNoMounts()
const MIB = 1024 ** 2
const BLOB = /\/blobs\//

/** A node whose store lies on a file system of its own, which is small. */
async function startSmallNode(options: { readonly bytes: number; readonly inodes?: number }) {
  await using stack = new AsyncDisposableStack()
  const disk = stack.use(await smallFileSystem(options))
  const registry = stack.use(await startRegistry())
  const node = stack.use(await startNode(registry))
  const store = disk.file('store')
  const made = stack.move()
  return {
    ...{ disk, registry, node, store },
    startDriver: (...args: string[]) =>
      node.startDriver({
        args: ['--store-directory', store, '--eviction-interval=100ms', ...args],
      }),
    async request(pod: string, name: string): Promise<PublishRequest> {
      return node.request(pod, `${registry.host}/acme/${name}:v1`)
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** Pushes an artifact of one file that does not compress, and gives the file's digest. */
function pushFile(registry: TestRegistry, name: string, bytes: number): Promise<Digest> {
  const content = randomBytes(bytes)
  const built = artifact({ layers: [{ title: 'file', content }] })
  return push(registry.url, `acme/${name}:v1`, built).then(() => digestOf(content))
}

/** Comparing megabytes byte by byte takes an assertion seconds. */
async function digestIn({ target_path }: PublishRequest): Promise<Digest> {
  return digestOf(await readFile(`${target_path}/file`))
}

function usedShare({ path }: SmallFileSystem): number {
  const { bavail, blocks } = statfsSync(path)
  return 1 - bavail / blocks
}

/** Writes until no more than so much is free, and gives the way back. */
async function fill(disk: SmallFileSystem, leave = 0): Promise<AsyncDisposable> {
  const path = disk.file('somebody-elses')
  const free = () => {
    const { bavail, bsize } = statfsSync(disk.path)
    return bavail * bsize
  }
  for (const part of [MIB, 4_096, 512]) {
    try {
      // What is said to be free is less than what root may still take.
      while (leave === 0 || free() > leave) {
        await writeFile(path, Buffer.alloc(part), { flag: 'a' })
      }
    } catch (error) {
      if (!isSystemError(error, 'ENOSPC')) throw error
    }
  }
  return { [Symbol.asyncDispose]: () => rm(path) }
}

/** What nobody is to find in a store in which nothing is under way. */
async function leftovers(store: string): Promise<readonly string[]> {
  const names = await Promise.all(
    ['staging', 'trash'].map(async (directory) => readdir(`${store}/${directory}`)),
  )
  return names.flat()
}

/** The whole error of a call that fails, as a kubelet's event shows it. */
async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    if (error instanceof Error) return error.message
  }
  throw new Error('It was not refused')
}

describe('above the high mark', () => {
  test('what no pod uses goes, the least recently used first, until below the low mark; what a pod uses stays', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB })
    await using driver = await small.startDriver(
      ...['--eviction-high-mark=60', '--eviction-low-mark=40', '--eviction-min-age=0ms'],
    )
    const contents = new Map<string, Digest>()
    for (const name of ['used', 'a', 'b', 'c']) {
      contents.set(name, await pushFile(small.registry, name, 3 * MIB))
    }
    const used = await small.request('used', 'used')
    await driver.csi.nodePublishVolume(used)
    for (const name of ['a', 'b', 'c', 'a']) {
      const request = await small.request(`pod-${name}`, name)
      await driver.csi.nodePublishVolume(request)
      await driver.csi.nodeUnpublishVolume(request)
    }
    expect(usedShare(small.disk)).toBeLessThan(0.6)
    await using _ = await fill(small.disk, 6 * MIB)
    await poll(() => usedShare(small.disk) < 0.6, { deadlineMs: 20_000, what: 'eviction' })
    const metrics = await scrape(driver.healthUrl)
    expect(sampleOf(metrics, 'oras_csi_trees')).toBeLessThan(4)
    expect(await digestIn(used)).toBe(contents.get('used'))
    await driver.csi.nodeUnpublishVolume(used)
  })

  test('that is out of reach is said, and everything goes on', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB })
    await using driver = await small.startDriver(
      '--eviction-high-mark=20',
      '--eviction-low-mark=10',
    )
    await pushFile(small.registry, 'used', 10 * MIB)
    const used = await small.request('used', 'used')
    await driver.csi.nodePublishVolume(used)
    await driver.process.waitForLine(
      ({ json }) =>
        json?.['msg'] === 'cannot evict as much as is wanted: the rest is in use or kept',
    )
    const sample = 'oras_csi_eviction_unreachable{goal="bytes"}'
    expect(sampleOf(await scrape(driver.healthUrl), sample)).toBe(1)
    await driver.csi.nodeUnpublishVolume(used)
  })
})

describe('a pull for which there is no room', () => {
  test('evicts what nobody uses and succeeds', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB })
    await using driver = await small.startDriver()
    for (const name of ['first', 'second']) await pushFile(small.registry, name, 20 * MIB)
    for (const name of ['first', 'second']) {
      const request = await small.request(name, name)
      await driver.csi.nodePublishVolume(request)
      await driver.csi.nodeUnpublishVolume(request)
    }
    expect((await readdir(`${small.store}/trees`)).length).toBe(1)
  })

  test('is refused while others use the rest, saying so, and succeeds when they have ended', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB })
    await using driver = await small.startDriver()
    for (const name of ['first', 'second']) await pushFile(small.registry, name, 20 * MIB)
    const [first, second] = [
      await small.request('first', 'first'),
      await small.request('second', 'second'),
    ]
    await driver.csi.nodePublishVolume(first)
    expect(await refusal(driver.csi.nodePublishVolume(second))).toMatch(
      /^8 RESOURCE_EXHAUSTED: Cannot pull "127\.0\.0\.1:\d+\/acme\/second:v1": it needs 20\.0 MiB, and the node's file system has \d+\.\d MiB free, 0 B of unused artifacts that could be evicted, and \d+\.\d MiB that must stay free \(the limit --min-free-bytes, which an admin can raise\); 1 pod of this node uses 1 artifact of 20\.0 MiB; free something, or give the store a larger file system$/,
    )
    expect(await leftovers(small.store)).toEqual([])
    await driver.csi.nodeUnpublishVolume(first)
    await driver.csi.nodePublishVolume(second)
    await driver.csi.nodeUnpublishVolume(second)
  })
})

describe('a file system that is full', () => {
  test('in the middle of a download: EXHAUSTED, the store is whole, and with room the same call succeeds', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB })
    await using driver = await small.startDriver()
    const content = await pushFile(small.registry, 'big', 15 * MIB)
    const request = await small.request('pod', 'big')
    {
      using gate = small.registry.hold({ method: 'GET', path: BLOB, afterBytes: 2 * MIB })
      const call = refusal(driver.csi.nodePublishVolume(request))
      await gate.arrived
      await using _ = await fill(small.disk)
      gate.release()
      expect(await call).toMatch(
        /^8 RESOURCE_EXHAUSTED: Cannot pull "[^"]+": no space or no inodes left for "[^"]+" on this node; free some, or give the store a larger file system$/,
      )
    }
    await expectSoonClean(small.store)
    await driver.csi.nodePublishVolume(request)
    expect(await digestIn(request)).toBe(content)
    await driver.csi.nodeUnpublishVolume(request)
  })

  test('in the middle of unpacking: EXHAUSTED, and with room the same call succeeds', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB })
    await using driver = await small.startDriver()
    // Compresses well, and not beyond what an archive may.
    const block = randomBytes(8 * 1024)
    const content = Buffer.alloc(20 * MIB, block)
    const archive = gzipSync(tarOf([{ path: 'file', content }]))
    const built = artifact({ layers: [{ content: archive }] })
    await push(small.registry.url, 'acme/archive:v1', built)
    const request = await small.request('pod', 'archive')
    {
      // The archive and what is known of it fit.
      await using _ = await fill(small.disk, 15 * MIB)
      expect(await refusal(driver.csi.nodePublishVolume(request))).toMatch(
        /^8 RESOURCE_EXHAUSTED: Cannot use "[^"]+": cannot unpack layer \S+: the node's file system has \S+ \S+ free, /,
      )
      await expectSoonClean(small.store)
    }
    await driver.csi.nodePublishVolume(request)
    expect(await digestIn(request)).toBe(digestOf(content))
    await driver.csi.nodeUnpublishVolume(request)
  })

  test('when a lease is to be written: EXHAUSTED that says so, and with room the same call succeeds', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB })
    await using driver = await small.startDriver()
    await pushFile(small.registry, 'small', MIB)
    const [first, second] = [
      await small.request('first', 'small'),
      await small.request('second', 'small'),
    ]
    await driver.csi.nodePublishVolume(first)
    {
      await using _ = await fill(small.disk)
      expect(await refusal(driver.csi.nodePublishVolume(second))).toMatch(
        /^8 RESOURCE_EXHAUSTED: (?:Cannot use "[^"]+": c|C)annot note what volume "[^"]+" uses: no space or no inodes left for "[^"]+" on this node \(ENOSPC\); free some, or give the store a larger file system$/,
      )
      // A pod can always end.
      await driver.csi.nodeUnpublishVolume(first)
    }
    expect(await readdir(`${small.store}/volumes`)).toEqual([])
    await driver.csi.nodePublishVolume(second)
    await driver.csi.nodeUnpublishVolume(second)
  })

  test('of inodes: EXHAUSTED that says so, and what nobody uses makes room for the next try', async (context) => {
    skipUnless(context, why)
    await using small = await startSmallNode({ bytes: 32 * MIB, inodes: 2_000 })
    await using driver = await small.startDriver()
    const names = ['first', 'second']
    for (const name of names) {
      const entries = Array.from({ length: 1_200 }, (_, i) => ({
        path: `${name}/${i}`,
        content: '',
      }))
      const built = artifact({ layers: [{ content: gzipSync(tarOf(entries)) }] })
      await push(small.registry.url, `acme/${name}:v1`, built)
    }
    const [first, second] = [
      await small.request('first', 'first'),
      await small.request('second', 'second'),
    ]
    await driver.csi.nodePublishVolume(first)
    expect(await refusal(driver.csi.nodePublishVolume(second))).toMatch(
      /^8 RESOURCE_EXHAUSTED: .*\d+ inodes free, and \d+ must stay free \(the limit --min-free-inodes/,
    )
    await driver.csi.nodeUnpublishVolume(first)
    // As the kubelet does, which does not know what happened.
    await poll(
      async () => {
        await driver.csi.nodePublishVolume(second)
        return true
      },
      { deadlineMs: 20_000, what: 'the next tries' },
    )
    expect((await readdir(`${second.target_path}/second`)).length).toBe(1_200)
    await driver.csi.nodeUnpublishVolume(second)
  })
})

test('what is committed and not yet synced when the driver is killed is synced and marked by the next one', async (context) => {
  skipUnless(context, why)
  await using small = await startSmallNode({ bytes: 32 * MIB })
  await pushFile(small.registry, 'file', MIB)
  const request = await small.request('pod', 'file')
  const isDurable = async () => {
    const [key] = await readdir(`${small.store}/trees`)
    const meta = JSON.parse(await readFile(`${small.store}/trees/${key}/meta.json`, 'utf8'))
    return meta.durable === true
  }
  {
    await using first = await small.startDriver()
    await first.csi.nodePublishVolume(request)
    first.process.kill('SIGKILL')
    await first.process.exited
  }
  expect(await isDurable()).toBe(false)
  await using second = await small.startDriver()
  await poll(isDurable, { deadlineMs: 30_000, what: 'the mark' })
  await second.csi.nodeUnpublishVolume(request)
})

async function expectSoonClean(store: string): Promise<void> {
  await poll(async () => (await leftovers(store)).length === 0, {
    deadlineMs: 10_000,
    what: `nothing left in ${store}`,
  })
}
