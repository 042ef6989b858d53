import { readFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../common/oci/digest.ts'
import { artifact, load } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startProxy } from '../support/proxy.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
// One for a download thread, one for the main one.
const LAYERS = [
  { title: 'big', content: Buffer.alloc(5 * 1024 * 1024 + 1, 'big ') },
  { title: 'small', content: 'small' },
]
const BUILT = artifact({ layers: LAYERS })
const SECRET = {
  '.dockerconfigjson': JSON.stringify({
    auths: { 'reg.test': { username: 'alice', password: 'sesame' } },
  }),
}
const AUTH = { kind: 'basic', users: { alice: 'sesame' } } as const

describe('a driver', () => {
  test('gets blobs from a mirror, proof from the server, and never tells the mirror what the pod has', async (context) => {
    skipUnless(context, why)
    await using mirror = await startRegistry()
    await using server = await startRegistry({ auth: AUTH })
    for (const registry of [mirror, server]) load(registry, 'acme/app:v1', BUILT)
    await using node = await startNode()
    await node.configure('reg.test', `server = "${server.url}"`, `[host."${mirror.url}"]`)
    await using driver = await node.startDriver()
    const request = await node.request('a', 'reg.test/acme/app:v1', { secret: SECRET })
    await driver.csi.nodePublishVolume(request)
    expect(await readFile(`${request.target_path}/small`, 'utf8')).toBe('small')
    expect(server.count('GET', '/v2/*/blobs/*')).toBe(0)
    expect(server.requests.at(-1)).toMatchObject({ authorization: 'basic', status: 200 })
    expect(new Set(mirror.requests.map(({ authorization }) => authorization))).toStrictEqual(
      new Set(['none']),
    )
    expect(mirror.count('GET', '/v2/*/blobs/*')).toBeGreaterThan(1)
    await driver.csi.nodeUnpublishVolume(request)

    // What the mirror gave anybody proves nothing.
    const thief = await node.request('b', 'reg.test/acme/app:v1')
    await expect(driver.csi.nodePublishVolume(thief)).rejects.toMatchObject({
      code: status.UNAUTHENTICATED,
    })
    expect(driver.process.output()).not.toContain('sesame')
  })

  test('the attack: a mirror that serves wrong bytes does not go unnoticed because another host has the right ones', async (context) => {
    skipUnless(context, why)
    await using mirror = await startRegistry()
    await using server = await startRegistry()
    for (const registry of [mirror, server]) load(registry, 'acme/app:v1', BUILT)
    mirror.fault({ method: 'GET', path: '/v2/*/blobs/*' }, { kind: 'corrupt' })
    await using node = await startNode()
    await node.configure(
      'reg.test',
      `server = "${server.url}"`,
      `[host."${mirror.url}".header]`,
      'X-Token = "hunter2"',
    )
    await using driver = await node.startDriver()
    const request = await node.request('a', 'reg.test/acme/app:v1')
    await driver.csi.nodePublishVolume(request)
    expect(await readFile(`${request.target_path}/small`, 'utf8')).toBe('small')
    await driver.csi.nodeUnpublishVolume(request)
    // Big and small: in a thread and on the main one.
    for (const { content } of LAYERS) {
      const digest = digestOf(content)
      const { json } = await driver.process.waitForLine((line) => line.json?.['digest'] === digest)
      expect(json).toMatchObject({
        level: 'warn',
        msg: 'a host sent other bytes than the blob has, asking another one',
        reference: 'reg.test/acme/app:v1',
        hosts: [mirror.url],
        error: {
          code: 'CORRUPT',
          message: expect.stringMatching(/^Cannot pull "reg.test\/acme\/app:v1": .* to sha256:\w+/),
        },
      })
    }
    expect(sampleOf(await scrape(driver.healthUrl), 'oras_csi_wrong_blobs_total')).toBe(2)
    expect(driver.process.output()).not.toContain('hunter2')
  })

  test('goes through the proxy of its environment', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    load(registry, 'acme/app:v1', BUILT)
    await using proxy = await startProxy({ resolve: () => registry.host })
    await using node = await startNode()
    await node.configure('reg.test', 'server = "http://reg.test"')
    const env = { HTTP_PROXY: proxy.url.replace('//', '//alice:hunter2@'), NO_PROXY: 'other.test' }
    await using driver = await node.startDriver({ env })
    const request = await node.request('a', 'reg.test/acme/app:v1')
    await driver.csi.nodePublishVolume(request)
    expect(await readFile(`${request.target_path}/small`, 'utf8')).toBe('small')
    expect(proxy.requests.length).toBe(registry.count())
    await driver.csi.nodeUnpublishVolume(request)
    expect(driver.process.output()).not.toContain('hunter2')
  })

  test('refuses private networks where the admin wants that, but for those that he names', async (context) => {
    skipUnless(context, why)
    await using node = await startNode()
    await using driver = await node.startDriver({ args: ['--forbid-private-networks'] })
    const request = await node.request('a', '10.255.255.1:1/acme/app:v1')
    await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
      code: status.PERMISSION_DENIED,
      details: expect.stringContaining('is at a loopback, link-local or private address'),
    })
  })
})
