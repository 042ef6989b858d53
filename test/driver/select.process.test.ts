import { readdir, readFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { nodePlatform } from '../../common/oci/platform.ts'
import { artifact, index, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const BLOB = /\/blobs\//
const KIND = 'com.acme.kind'
const APP = artifact({
  layers: [
    {
      ...{ title: 'app.jar', content: 'app', mediaType: 'application/java-archive' },
      annotations: { [KIND]: 'application' },
    },
    {
      ...{ title: 'one.jar', content: 'one', mediaType: 'application/java-archive' },
      annotations: { [KIND]: 'plugin-one' },
    },
    { title: 'model.bin', content: 'm'.repeat(100_000), mediaType: 'application/octet-stream' },
  ],
})

describe('a volume that selects', () => {
  test('shows what is selected and downloads nothing else; the same layers, told otherwise, are the same tree', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', APP)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const publish = async (pod: string, attributes: Record<string, string>) => {
      const request = await node.request(pod, `${registry.host}/acme/app:v1`, { attributes })
      registry.clearRequests()
      await driver.csi.nodePublishVolume(request)
      const shown = (await readdir(request.target_path)).sort()
      return {
        ...{ request, shown, blobs: registry.count('GET', BLOB) },
        trees: (await readdir(`${node.storeDirectory}/trees`)).length,
      }
    }
    const pods = [
      await publish('a', { 'oras.artifact.layers.mediatype': 'application/java-archive' }),
      await publish('b', { 'oras.artifact.files': '["*.jar"]' }),
      await publish('c', { 'oras.artifact.layers.annotations': `{"${KIND}":"plugin-*"}` }),
      await publish('d', {}),
    ]
    expect(pods.map(({ shown, blobs, trees }) => ({ shown, blobs, trees }))).toEqual([
      { shown: ['app.jar', 'one.jar'], blobs: 2, trees: 1 },
      { shown: ['app.jar', 'one.jar'], blobs: 0, trees: 1 },
      { shown: ['one.jar'], blobs: 0, trees: 2 },
      { shown: ['app.jar', 'model.bin', 'one.jar'], blobs: 1, trees: 3 },
    ])
    for (const { request } of pods) await driver.csi.nodeUnpublishVolume(request)
  })

  test('nothing is not mounted: the message lists what there is', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', APP)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = `${registry.host}/acme/app:v1`
    const request = await node.request('a', reference, {
      attributes: { 'oras.artifact.files': 'ap.jar' },
    })
    await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: `Cannot use "${reference}": nothing selected: files "ap.jar" match nothing; the manifest has "app.jar" (application/java-archive, 3 bytes), "one.jar" (application/java-archive, 3 bytes), "model.bin" (application/octet-stream, 100000 bytes); did you mean "app.jar"?`,
    })
    expect(registry.count('GET', BLOB)).toBe(0)
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  })

  test('what the node has not, of a tag that has moved, gets it from where the tag is now', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', APP)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = `${registry.host}/acme/app:v1`
    const whole = await node.request('whole', reference)
    await driver.csi.nodePublishVolume(whole)
    await push(
      registry.url,
      'acme/app:v1',
      artifact({ layers: [{ title: 'notes.txt', content: 'new', mediaType: 'text/plain' }] }),
    )
    const notes = await node.request('notes', reference, {
      attributes: { 'oras.artifact.layers.mediatype': 'text/*' },
    })
    await driver.csi.nodePublishVolume(notes)
    expect(await readdir(notes.target_path)).toEqual(['notes.txt'])
    for (const request of [whole, notes]) await driver.csi.nodeUnpublishVolume(request)
  })

  test("the platform gets another one than the node's", async (context) => {
    skipUnless(context, why)
    const { architecture } = nodePlatform()
    const child = (word: string) => artifact({ layers: [{ title: 'which.txt', content: word }] })
    const built = index(
      [architecture, 's390x'].map((name) => ({
        built: child(name),
        platform: { os: 'linux', architecture: name },
      })),
    )
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', built)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = `${registry.host}/acme/app:v1`
    const seen: string[] = []
    for (const [pod, attributes] of [
      ['own', {}],
      ['other', { 'oras.artifact.platform': 'linux/s390x' }],
    ] as const) {
      const request = await node.request(pod, reference, { attributes })
      await driver.csi.nodePublishVolume(request)
      seen.push(await readFile(`${request.target_path}/which.txt`, 'utf8'))
      await driver.csi.nodeUnpublishVolume(request)
    }
    expect(seen).toEqual([architecture, 's390x'])
  })
})
