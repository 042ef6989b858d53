import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { request as get } from 'undici'
import { describe, expect, test } from 'vitest'
import { portOf } from '../../common/listening.ts'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { register } from '../support/kubelet.ts'
import { mountsAt, whyNoMounts } from '../support/mounts.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })

describe('a rollback to a driver that does not know the format of the store', () => {
  test('strands no pod: it answers for what is mounted, unpublishes it, and keeps its own store in it; and back again', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    const { storeDirectory: store } = node
    const request = (pod: string) => node.request(pod, `${registry.host}/acme/hello:v1`)
    const [running, ending, later] = [
      await request('running'),
      await request('ending'),
      await request('later'),
    ]
    {
      await using newer = await node.startDriver()
      await newer.csi.nodePublishVolume(running)
      await newer.csi.nodePublishVolume(ending)
    }
    await writeFile(`${store}/format`, '2\n')

    // 1. The rollback.
    const before = await readdir(`${store}/trees`)
    {
      await using older = await node.startDriver()
      await older.process.waitForLine(
        ({ json }) =>
          json?.['msg'] === 'the store is of another format, using one in it' &&
          json['format'] === '2',
      )
      await older.csi.nodePublishVolume(running)
      await older.csi.nodeUnpublishVolume(ending)
      await older.csi.nodePublishVolume(later)
      expect(await mountsAt(ending.target_path)).toEqual([])
      expect(await readFile(`${running.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
      expect((await mountsAt(running.target_path)).length).toBe(1)
      expect((await mountsAt(later.target_path))[0]?.root).toContain('/store/format-1/trees/')
      expect(await readdir(`${store}/volumes`)).toEqual([`${running.volume_id}.json`])
      expect(await readdir(`${store}/format-1/volumes`)).toEqual([`${later.volume_id}.json`])
      expect(await readdir(`${store}/trees`)).toEqual(before)
      expect(await readFile(`${store}/format`, 'utf8')).toBe('2\n')
    }

    // 2. The next upgrade, to one that wrote this store and finds another in it.
    await writeFile(`${store}/format`, '1\n')
    await using newer = await node.startDriver()
    await newer.csi.nodePublishVolume(later)
    expect((await mountsAt(later.target_path)).length).toBe(1)
    await newer.csi.nodeUnpublishVolume(later)
    await newer.csi.nodeUnpublishVolume(running)
    expect(await mountsAt(later.target_path)).toEqual([])
    expect(await readdir(`${store}/format-1/volumes`)).toEqual([])
    expect(await readdir(`${store}/volumes`)).toEqual([])
  })
})

describe('a rolling update', () => {
  test('whose first driver is killed: the second has touched nothing until then, and takes over what is mounted', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using first = await node.startDriver()
    const published = await node.request('app', `${registry.host}/acme/hello:v1`)
    await first.csi.nodePublishVolume(published)
    const sockets = [
      `${node.kubeletDir}/plugins/csi.oras.land/csi.sock`,
      `${node.kubeletDir}/plugins_registry/csi.oras.land-reg.sock`,
      `${node.storeDirectory}/admin.sock`,
    ]
    const inodes = () => Promise.all(sockets.map(async (path) => (await stat(path)).ino))
    const before = await inodes()

    const health = await freePort()
    await using second = startProcess({
      args: [
        'driver/main.ts',
        ...['--kubelet-directory', node.kubeletDir],
        ...['--hosts-directory', node.hostsDirectory],
        ...['--health-listen', `127.0.0.1:${health}`],
      ],
    })
    await second.waitForLine(withMessage('waiting for another driver to leave the store'))
    const { statusCode, body } = await get(`http://127.0.0.1:${health}/readyz`)
    expect([statusCode, await body.text()]).toEqual([
      503,
      'waiting for another driver to leave the store\n',
    ])
    expect(await inodes()).toEqual(before)
    expect((await first.csi.probe()).ready).toEqual({ value: true })

    first.process.kill('SIGKILL')
    await second.waitForLine(withMessage('serving'))
    const { csi } = await register(`${node.kubeletDir}/plugins_registry`)
    await csi.nodePublishVolume(published)
    expect((await mountsAt(published.target_path)).length).toBe(1)
    await csi.nodeUnpublishVolume(published)
    second.kill('SIGTERM')
    await second.exited
    for (const socket of sockets) await expect(stat(socket)).rejects.toThrow('ENOENT')
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server.address())
  server.close()
  await once(server, 'close')
  return port
}
