import { readdir, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { artifact, directoryLayer, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { detach, mountsAt, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { filesNamed, mountPowerCutDisk, type PowerCutDisk } from '../support/power-cut-disk.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const why = (await whyNoMounts()) ?? (await whyNoProgram('mkfs.ext4'))
const BLOB = /\/blobs\//
const MODEL = Buffer.alloc(3 * 1024 * 1024, 'a model of something ')
const PAGES = Object.fromEntries(
  Array.from({ length: 20 }, (_, index) => [`page-${index}`, `page ${index} `.repeat(1_000)]),
)
const APP = artifact({
  layers: [
    { title: 'model.bin', content: MODEL },
    directoryLayer(
      'site',
      Object.entries(PAGES).map(([path, content]) => ({ path, content })),
    ),
  ],
})
const RECORDS = /^meta\.json$|^[0-9a-f]{64}\.json$|^format$|^salt$/

interface Scene extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly disk: PowerCutDisk
  readonly store: string
  /** Starts a driver in a boot of the node, publishes a view of the artifact, hands over the target, and ends both. */
  inBoot(id: string, use: (target: string, pid: number) => Promise<void>): Promise<void>
}

async function startScene(options: string): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  await push(registry.url, 'acme/app:v1', APP)
  const directory = stack.use(await temporaryDirectory())
  const disk = stack.use(await mountPowerCutDisk(directory, options))
  const node = stack.use(await startNode(registry))
  const store = `${disk.path}/store`
  const made = stack.move()
  return {
    ...{ registry, disk, store },
    async inBoot(id, use) {
      const bootIdFile = directory.file(id)
      await writeFile(bootIdFile, `${id}\n`)
      await using driver = await node.startDriver({
        bootIdFile,
        args: ['--store-directory', store, '--min-free-bytes', '1Mi', '--min-free-inodes', '100'],
      })
      const request = await node.request('app', `${registry.host}/acme/app:v1`, {
        attributes: { 'oras.artifact.path': 'opt' },
      })
      expect(await mountsAt(request.target_path)).toEqual([])
      await driver.csi.nodePublishVolume(request)
      try {
        await use(request.target_path, driver.process.pid)
      } finally {
        driver.process.kill('SIGKILL')
        await driver.process.exited
        await detach(request.target_path)
      }
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** The paths below a directory whose content is not the artifact's. */
async function wrongFiles(root: string): Promise<readonly string[]> {
  const wrong: string[] = []
  for (const name of await readdir(root, { recursive: true })) {
    const expected = name.endsWith('model.bin') ? MODEL : PAGES[name.split('/').at(-1) ?? '']
    if (expected === undefined) continue
    if (!(await readFile(`${root}/${name}`)).equals(Buffer.from(expected))) wrong.push(name)
  }
  return wrong
}

async function wrongInStore(store: string): Promise<readonly string[]> {
  return [...(await wrongFiles(`${store}/trees`)), ...(await wrongFiles(`${store}/views`))]
}

describe('a power cut', () => {
  test.for([
    ['leaves files empty whose names and records it leaves', 'data=ordered'],
    ['leaves files of the right size with the wrong content', 'data=writeback,nodelalloc'],
  ] as const)('%s: none of it is served after the reboot', async ([, options], context) => {
    skipUnless(context, why)
    await using scene = await startScene(options)
    const { disk, store, registry } = scene
    await scene.inBoot('boot-a', async (target, pid) => {
      expect(await wrongFiles(target)).toEqual([])
      // Before it has the disk synced.
      process.kill(pid, 'SIGSTOP')
    })
    await disk.cutPower(await filesNamed(store, RECORDS))
    // What a driver would show that believed its records.
    expect((await wrongInStore(store)).length).toBeGreaterThan(20)
    expect((await readdir(`${store}/trees`)).length).toBe(1)
    registry.clearRequests()

    await scene.inBoot('boot-b', async (target) => {
      expect(await wrongFiles(target)).toEqual([])
      expect(await wrongInStore(store)).toEqual([])
    })
    expect(registry.count('GET', BLOB)).toBe(2)
  })

  test('takes nothing of what was synced and marked: it is served without the registry', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene('data=writeback,nodelalloc')
    const { disk, store, registry } = scene
    await scene.inBoot('boot-a', async () => {
      await poll(
        async () => {
          const records = await filesNamed(store, /^meta\.json$|^[0-9a-f]{64}\.json$/)
          const marks = await Promise.all(
            records
              .filter((path) => /\/(trees|views|blobs)\//.test(path))
              .map(async (path) => JSON.parse(await readFile(path, 'utf8')).durable),
          )
          return marks.length === 4 && marks.every((mark) => mark === true)
        },
        { deadlineMs: 20_000, what: 'tree, view and blobs to be marked' },
      )
    })
    await disk.cutPower(await filesNamed(store, RECORDS))
    registry.clearRequests()
    await scene.inBoot('boot-b', async (target) => {
      expect(await wrongFiles(target)).toEqual([])
    })
    expect(registry.count('GET', BLOB)).toBe(0)
  })
})
