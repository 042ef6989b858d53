import { readdir } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { digestOf } from '../../common/oci/digest.ts'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { mountsAt, whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const BLOB = /\/blobs\//
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })
const BROKEN = { '.dockerconfigjson': '{' }

test('a running volume whose secret has become unreadable is still answered OK after a kubelet restart', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/hello:v1', HELLO)
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const request = await node.request('pod', `${registry.host}/acme/hello:v1`, {
    secret: { '.dockerconfigjson': '{"auths":{}}' },
  })
  await driver.csi.nodePublishVolume(request)
  let outcome: unknown
  try {
    outcome = await driver.csi.nodePublishVolume({ ...request, secrets: BROKEN })
  } catch (error) {
    outcome = error
  }
  await driver.csi.nodeUnpublishVolume(request)
  expect(outcome).toEqual({})
})

test('a final error after ABORTED leaves no lease: no Unpublish will come', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/hello:v1', HELLO)
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
  using gate = registry.hold({ method: 'GET', path: BLOB })
  await expect(driver.csi.nodePublishVolume(request, { deadlineMs: 5_000 })).rejects.toMatchObject({
    code: status.ABORTED,
  })
  await expect(driver.csi.nodePublishVolume({ ...request, secrets: BROKEN })).rejects.toMatchObject(
    { code: status.INVALID_ARGUMENT },
  )
  gate.release()
  expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
})

test('the same when an admin breaks the hosts file in between', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/hello:v1', HELLO)
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const request = await node.request('pod', `${registry.host}/acme/hello:v1`, {
    // What the hosts file is looked at for, whatever is on its way or here already.
    attributes: { 'oras.options.plainhttp': 'true' },
  })
  using gate = registry.hold({ method: 'GET', path: BLOB })
  await expect(driver.csi.nodePublishVolume(request, { deadlineMs: 5_000 })).rejects.toMatchObject({
    code: status.ABORTED,
  })
  await node.configure(registry.host, 'server = [')
  const error = await driver.csi.nodePublishVolume(request).catch((thrown) => thrown)
  gate.release()
  expect(error.code).toBe(status.INVALID_ARGUMENT)
  expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
})

test('--kubelet-directory may end in a slash', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/hello:v1', HELLO)
  await using node = await startNode(registry)
  await using driver = await node.startDriver({
    args: ['--kubelet-directory', `${node.kubeletDir}/`],
  })
  const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
  const outcome = await driver.csi.nodeUnpublishVolume(request).catch((thrown) => thrown)
  expect(await mountsAt(request.target_path)).toEqual([])
  expect(outcome).toEqual({})
})

test('a refusal as long as a manifest lets it be still reaches the kubelet with its code', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: ['a', 'b'].map((architecture) => ({
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: digestOf(architecture),
        size: 1,
        platform: { os: 'x'.repeat(100_000), architecture },
      })),
    }),
  )
  registry.addManifest('acme/long', 'v1', 'application/vnd.oci.image.index.v1+json', index)
  const request = await node.request('pod', `${registry.host}/acme/long:v1`)
  await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
  })
})
