import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import {
  close,
  makeDirectoryAt,
  openDirectory,
  openDirectoryAt,
} from '../../driver/linux/directory.ts'
import { objectAt, objectsAt } from '../../webhook/json.ts'
import { mutate } from '../../webhook/mutate.ts'
import { artifact, directoryLayer, load } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { type PublishRequest, publishRequest } from '../support/kubelet.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { detach, mountsAt, openSecondNamespace, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const MEBIBYTE = 1024 * 1024

interface Scene extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly node: TestNode
  readonly reference: string
}

async function startScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  const entries = [
    { path: 'conf', type: 'directory' as const },
    { path: 'conf/app.yaml', content: 'level: info' },
    { path: 'run', content: '#!/bin/sh\n', mode: 0o755 },
  ]
  const layers = [{ title: 'blob.bin', content: 'a blob' }, directoryLayer('app', entries)]
  load(registry, 'acme/app:v1', artifact({ layers }))
  const node = stack.use(await startNode(registry))
  const made = stack.move()
  return {
    ...{ registry, node, reference: `${registry.host}/acme/app:v1` },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

function request(
  { node, reference }: Scene,
  pod: string,
  attributes: Readonly<Record<string, string>> = {},
): Promise<PublishRequest> {
  return publishRequest({
    kubeletDir: node.kubeletDir,
    pod: { name: pod, namespace: 'default', uid: `uid-${pod}` },
    volumeName: 'app',
    attributes: {
      'oras.artifact.reference': reference,
      'oras.options.writable': 'true',
      ...attributes,
    },
    readOnly: false,
  })
}

/** Everything that could tell that somebody wrote in the store's trees, views or blobs. */
async function factsOf(node: TestNode): Promise<Record<string, unknown>> {
  const facts: Record<string, unknown> = {}
  for (const part of ['trees', 'views', 'blobs']) {
    const root = `${node.storeDirectory}/${part}`
    for (const name of (await readdir(root, { recursive: true })).sort()) {
      if (name.endsWith('.json')) continue
      const path = `${root}/${name}`
      const { ino, mode, uid, size, mtimeMs, nlink } = await lstat(path)
      const isFile = (await lstat(path)).isFile()
      const content =
        isFile &&
        createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
      const times = isFile ? { mtimeMs, size, nlink } : {}
      facts[`${part}/${name}`] = { ino, mode, uid, content, ...times }
    }
  }
  return facts
}

async function trashIsEmpty({ node }: Scene): Promise<void> {
  await poll(async () => (await readdir(`${node.storeDirectory}/trash`)).length === 0, {
    deadlineMs: 60_000,
    what: 'the trash to be empty',
  })
}

const volumes = ({ node }: Scene) => readdir(`${node.storeDirectory}/volumes`)
const trees = ({ node }: Scene) => readdir(`${node.storeDirectory}/trees`)

async function kill(driver: TestDriver): Promise<void> {
  driver.process.kill('SIGKILL')
  await driver.process.exited
}

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Error)) return 'nothing failed'
  return [Reflect.get(error, 'code'), Reflect.get(error, 'details')]
}

describe('a writable volume', () => {
  test('takes what a pod writes, and nothing of the tree changes; unpublish leaves nothing', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver()
    const volume = await request(scene, 'pod')
    await driver.csi.nodePublishVolume(volume)
    const before = await factsOf(scene.node)
    const root = volume.target_path

    await writeFile(`${root}/new`, 'new')
    await writeFile(`${root}/app/conf/app.yaml`, 'level: debug')
    await writeFile(`${root}/blob.bin`, 'changed')
    await chmod(`${root}/app/run`, 0o600)
    await mkdir(`${root}/app/logs`)
    await rm(`${root}/app/conf/app.yaml`)
    await rm(`${root}/app/conf`, { recursive: true })

    expect((await readdir(root, { recursive: true })).sort()).toEqual(
      ['app', 'app/logs', 'app/run', 'blob.bin', 'new'].sort(),
    )
    expect(await readFile(`${root}/blob.bin`, 'utf8')).toBe('changed')
    expect(await factsOf(scene.node)).toEqual(before)

    await driver.csi.nodeUnpublishVolume(volume)
    expect(await mountsAt(root)).toEqual([])
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await volumes(scene)).toEqual([])
    await trashIsEmpty(scene)
    expect(await factsOf(scene.node)).toEqual(before)
  })

  test('is private: other volumes of the tree, writable or not, see nothing of it, nor does a pod after it', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver()
    const one = await request(scene, 'one')
    const two = await request(scene, 'two')
    const reader = await scene.node.request('reader', scene.reference)
    for (const volume of [one, two, reader]) await driver.csi.nodePublishVolume(volume)

    await writeFile(`${one.target_path}/blob.bin`, 'of one')
    await writeFile(`${one.target_path}/secret`, 'of one')

    for (const { target_path } of [two, reader]) {
      expect(await readFile(`${target_path}/blob.bin`, 'utf8')).toBe('a blob')
      expect((await readdir(target_path)).sort()).toEqual(['app', 'blob.bin'])
    }
    await expect(writeFile(`${reader.target_path}/new`, '')).rejects.toMatchObject({
      code: 'EROFS',
    })
    expect((await trees(scene)).length).toBe(1)
    await driver.csi.nodeUnpublishVolume(one)
    await driver.csi.nodePublishVolume(one)
    expect((await readdir(one.target_path)).sort()).toEqual(['app', 'blob.bin'])
    for (const volume of [one, two, reader]) await driver.csi.nodeUnpublishVolume(volume)
  })

  test('may be written at its root by any user of the pod, as an emptyDir; nobody else gets at what it holds', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver()
    const volume = await request(scene, 'pod')
    await driver.csi.nodePublishVolume(volume)
    expect((await stat(volume.target_path)).mode & 0o7777).toBe(0o777)
    const [lease, directory] = (await volumes(scene)).sort().reverse()
    expect([lease, directory]).toEqual([
      `${volume.volume_id}.json`,
      expect.stringMatching(/^[0-9a-f]{32}\.d$/),
    ])
    const { mode, uid } = await stat(`${scene.node.storeDirectory}/volumes/${directory}`)
    expect([mode & 0o7777, uid]).toEqual([0o700, 0])
    await driver.csi.nodeUnpublishVolume(volume)
  })

  test('is nosuid and nodev on the host and in the pod, where it is writable: a setuid program and a device are just files', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using host = await openSecondNamespace()
    await using driver = await scene.node.startDriver()
    const volume = await request(scene, 'pod')
    await driver.csi.nodePublishVolume(volume)
    const root = volume.target_path

    const seen = await mountsAt(root, host.pid)
    expect(seen.map(({ options }) => options.slice(0, 3))).toEqual([['rw', 'nosuid', 'nodev']])
    expect((await mountsAt(root)).map(({ options }) => options.slice(0, 3))).toEqual([
      ['rw', 'nosuid', 'nodev'],
    ])
    await host.run('cp', '/usr/bin/id', `${root}/id`)
    await host.run('chmod', '4755', `${root}/id`)
    await host.run('mknod', '-m', '0666', `${root}/zero`, 'c', '1', '5')
    const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups']
    expect(await host.run('setpriv', ...asNobody, `${root}/id`, '-u')).toBe('65534\n')
    await expect(host.run('head', '-c1', `${root}/zero`)).rejects.toThrow('Permission denied')

    await driver.csi.nodeUnpublishVolume(volume)
    expect(await mountsAt(root, host.pid)).toEqual([])
  })

  test('of several sources is laid over their view', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    load(scene.registry, 'acme/b:v1', artifact({ layers: [{ title: 'b', content: 'b' }] }))
    await using driver = await scene.node.startDriver()
    const sources = [
      { reference: scene.reference },
      { reference: `${scene.registry.host}/acme/b:v1` },
    ]
    const volume = await publishRequest({
      kubeletDir: scene.node.kubeletDir,
      pod: { name: 'pod', namespace: 'default', uid: 'uid-pod' },
      volumeName: 'app',
      attributes: {
        'oras.sources': JSON.stringify(sources),
        'oras.options.writable': 'true',
      },
    })
    await driver.csi.nodePublishVolume(volume)
    await driver.csi.nodePublishVolume(volume)
    const before = await factsOf(scene.node)
    await writeFile(`${volume.target_path}/b`, 'changed')
    expect((await mountsAt(volume.target_path)).length).toBe(1)
    expect(await factsOf(scene.node)).toEqual(before)
    await driver.csi.nodeUnpublishVolume(volume)
    expect(await volumes(scene)).toEqual([])
  })

  test('as the webhook composes it, with what the kubelet makes of a subPath that is not there', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver()
    const artifacts = `/data: {reference: "${scene.reference}", readOnly: false, subPath: var/data}`
    const { pod } = mutate({
      metadata: { annotations: { 'oras.land/artifacts': artifacts } },
      spec: { containers: [{ name: 'java' }] },
    })
    const [planned] = objectsAt(objectAt(pod, 'spec'), 'volumes')
    const csi = objectAt(planned, 'csi')
    const attributes = Object.entries(objectAt(csi, 'volumeAttributes') ?? {})
    const volume = await publishRequest({
      kubeletDir: scene.node.kubeletDir,
      pod: { name: 'pod', namespace: 'default', uid: 'uid-pod' },
      volumeName: 'oras-data',
      attributes: Object.fromEntries(attributes.map(([key, value]) => [key, String(value)])),
      readOnly: csi?.['readOnly'] === true,
    })
    await driver.csi.nodePublishVolume(volume)
    await mkdir(`${volume.target_path}/var/data`, { recursive: true })
    await driver.csi.nodeUnpublishVolume(volume)
  })

  test('is refused where the pod says at once that it is read-only', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver()
    const volume = { ...(await request(scene, 'pod')), readonly: true }
    expect(await failureOf(driver.csi.nodePublishVolume(volume))).toEqual([
      status.INVALID_ARGUMENT,
      'Cannot make the volume writable as "oras.options.writable" says: the pod\'s "csi" volume has "readOnly: true"; expected one of them only',
    ])
    expect(await volumes(scene)).toEqual([])
  })
})

describe('unpublish is not held up', () => {
  test('by the attack of a path longer than 4,096 bytes, 12,000 files, setuid files and names that are no text', {
    timeout: 120_000,
  }, async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver()
    const volume = await request(scene, 'pod')
    await driver.csi.nodePublishVolume(volume)
    const root = volume.target_path
    makeDeep(root, 60)
    await mkdir(`${root}/many`)
    const script = `i=0; while [ $i -lt 12000 ]; do : > "$1/many/$i"; i=$((i+1)); done`
    await promisify(execFile)('sh', ['-c', script, 'sh', root])
    await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe, 0x0a])]), '')
    await writeFile(`${root}/setuid`, '')
    await chmod(`${root}/setuid`, 0o6777)
    await rm(`${root}/app`, { recursive: true })

    await driver.csi.nodeUnpublishVolume(volume, { deadlineMs: 5_000 })

    expect(await mountsAt(root)).toEqual([])
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await volumes(scene)).toEqual([])
    await trashIsEmpty(scene)
    expect((await trees(scene)).length).toBe(1)
  })
})

/** Directories of 200-byte names within each other. */
function makeDeep(root: string, depth: number): void {
  const name = 'd'.repeat(200)
  let directory = openDirectory(root)
  for (let level = 0; level < depth; level += 1) {
    makeDirectoryAt(directory, name, 0o700)
    const next = openDirectoryAt(directory, name)
    close(directory)
    directory = next
  }
  close(directory)
}

describe('a writable volume outlives its driver', () => {
  test('what was written is there after SIGKILL and a repeated publish; it is mounted once; the next driver ends it', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const volume = await request(scene, 'pod')
    {
      await using first = await scene.node.startDriver()
      await first.csi.nodePublishVolume(volume)
      await writeFile(`${volume.target_path}/kept`, 'kept')
      await first.csi.nodePublishVolume(volume)
      await kill(first)
    }
    await using second = await scene.node.startDriver()
    scene.registry.clearRequests()
    await second.csi.nodePublishVolume(volume)
    expect(scene.registry.requests).toEqual([])
    expect((await mountsAt(volume.target_path)).length).toBe(1)
    expect(await readFile(`${volume.target_path}/kept`, 'utf8')).toBe('kept')
    await writeFile(`${volume.target_path}/more`, 'more')
    await second.csi.nodeUnpublishVolume(volume)
    expect(await volumes(scene)).toEqual([])
    await trashIsEmpty(scene)
  })

  test('killed between the mount and the word that it is mounted: the next publish takes it as it is', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const volume = await request(scene, 'pod')
    const preload = new URL('./die-at-mounted.ts', import.meta.url).pathname
    await using doomed = await scene.node.startDriver({
      env: { NODE_OPTIONS: `--import=${preload}` },
    })
    await failureOf(doomed.csi.nodePublishVolume(volume))
    expect(await doomed.process.exited).toEqual({ code: null, signal: 'SIGKILL' })
    await writeFile(`${volume.target_path}/kept`, 'kept')
    await using second = await scene.node.startDriver()
    await second.csi.nodePublishVolume(volume)
    expect((await mountsAt(volume.target_path)).length).toBe(1)
    expect(await readFile(`${volume.target_path}/kept`, 'utf8')).toBe('kept')
    await second.csi.nodeUnpublishVolume(volume)
    expect(await volumes(scene)).toEqual([])
  })

  test('without its lease too: the tree beneath is not evicted, the reaper writes a new one, and it ends like any other', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const volume = await request(scene, 'pod')
    {
      await using first = await scene.node.startDriver()
      await first.csi.nodePublishVolume(volume)
      await writeFile(`${volume.target_path}/kept`, 'kept')
      await kill(first)
    }
    const lease = `${scene.node.storeDirectory}/volumes/${volume.volume_id}.json`
    await rm(lease)
    await using second = await scene.node.startDriver({
      args: [
        ...['--max-store-bytes', '1', '--eviction-min-age', '0ms', '--eviction-interval', '100ms'],
        ...['--recovery-interval', '100ms'],
      ],
    })
    const taken = await poll(async () => JSON.parse(await readFile(lease, 'utf8')), {
      deadlineMs: 10_000,
      what: 'a new lease',
    })
    expect(taken).toMatchObject({ writable: true, trees: await trees(scene), mounted: true })
    await second.csi.nodePublishVolume(volume)
    expect((await mountsAt(volume.target_path)).length).toBe(1)
    expect(await readFile(`${volume.target_path}/kept`, 'utf8')).toBe('kept')
    expect(await readFile(`${volume.target_path}/app/conf/app.yaml`, 'utf8')).toBe('level: info')
    const own = (await volumes(scene)).filter((name) => name.endsWith('.d'))
    expect(own).toEqual([expect.stringMatching(/^[0-9a-f]{32}\.d$/)])
    expect(await readdir(`${scene.node.storeDirectory}/volumes/${own}/upper`)).toEqual(['kept'])
    await second.csi.nodeUnpublishVolume(volume)
    expect(await volumes(scene)).toEqual([])
  })

  test('not a reboot: the files of a volume that is mounted no more are swept, and a new publish begins afresh', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    const ended = await request(scene, 'ended')
    const goesOn = await request(scene, 'goes-on')
    {
      await using first = await scene.node.startDriver()
      for (const volume of [ended, goesOn]) {
        await first.csi.nodePublishVolume(volume)
        await writeFile(`${volume.target_path}/old`, 'old')
      }
      await kill(first)
    }
    for (const volume of [ended, goesOn]) {
      await detach(volume.target_path)
      const lease = `${scene.node.storeDirectory}/volumes/${volume.volume_id}.json`
      const text = await readFile(lease, 'utf8')
      await writeFile(lease, JSON.stringify({ ...JSON.parse(text), bootId: 'another' }))
    }
    await using second = await scene.node.startDriver()
    expect(await volumes(scene)).toEqual([])
    await second.csi.nodePublishVolume(goesOn)
    expect((await readdir(goesOn.target_path)).sort()).toEqual(['app', 'blob.bin'])
    await second.csi.nodeUnpublishVolume(goesOn)
    await second.csi.nodeUnpublishVolume(ended)
    await trashIsEmpty(scene)
  })
})

describe('what a writable volume holds', () => {
  test('is told to the kubelet with the limit as its size, in metrics, and in the log once it is too much', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene()
    await using driver = await scene.node.startDriver({
      args: ['--max-writable-bytes', '1Mi', '--writable-interval', '100ms'],
    })
    const volume = await request(scene, 'pod')
    await driver.csi.nodePublishVolume(volume)
    const usage = async () => {
      const path = { volume_id: volume.volume_id, volume_path: volume.target_path }
      const [bytes, inodes] = (await driver.csi.nodeGetVolumeStats(path)).usage
      return { bytes, inodes: inodes?.used, free: inodes?.available }
    }
    const empty = await usage()
    expect(empty.bytes?.total).toEqual(MEBIBYTE)
    expect(Number(empty.bytes?.used)).toBeLessThan(64 * 1024)
    expect(empty.inodes).toBe(0)

    await writeFile(`${volume.target_path}/big`, Buffer.alloc(2 * MEBIBYTE, 'x'))
    const { json } = await driver.process.waitForLine(
      (line) => line.json?.['msg'] === 'a writable volume holds more than its limit',
    )
    expect(json).toMatchObject({ pod: 'default/pod', limitBytes: MEBIBYTE })
    const full = await usage()
    expect(Number(full.bytes?.used)).toBeGreaterThanOrEqual(2 * MEBIBYTE)
    expect([full.bytes?.available, full.inodes]).toEqual([0, 1])
    const families = await scrape(driver.healthUrl)
    expect(sampleOf(families, 'oras_csi_writable_volumes')).toBe(1)
    expect(sampleOf(families, 'oras_csi_writable_bytes')).toBe(Number(full.bytes?.used))
    expect(sampleOf(families, 'oras_csi_writable_volumes_over_limit')).toBe(1)
    expect(sampleOf(families, 'oras_csi_mounts')).toBe(1)
    await driver.csi.nodeUnpublishVolume(volume)
  })
})
