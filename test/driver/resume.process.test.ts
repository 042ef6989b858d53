import { open, readdir } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { artifact, load } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { type Content, digestOfContent, generatedContent } from '../support/registry/content.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const MEBIBYTE = 1024 * 1024
const BLOBS = { method: 'GET', path: /\/blobs\// } as const

test('SIGKILL at 80 % of a blob that comes over several connections: at most a quarter is downloaded again', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  const content = generatedContent(64 * MEBIBYTE + 7)
  const digest = registry.addBlob('acme/big', content)
  load(
    registry,
    'acme/big:v1',
    artifact({ layers: [{ title: 'big', digest, size: content.size }] }),
  )
  const slow = registry.fault(BLOBS, { kind: 'throttle', bytesPerSecond: 8 * MEBIBYTE })
  const blobs = () => registry.requests.filter(({ path }) => BLOBS.path.test(path))
  const sent = () => blobs().reduce((sum, { bytesSent }) => sum + bytesSent, 0)
  await using node = await startNode(registry)
  await using first = await node.startDriver()
  const request = await node.request('pod', `${registry.host}/acme/big:v1`)
  const call = first.csi.nodePublishVolume(request)
  const outcome = expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE })
  await poll(() => sent() > 0.8 * content.size, { deadlineMs: 30_000, what: '80 %' })
  expect(blobs().length).toBeGreaterThan(2)

  first.process.kill('SIGKILL')

  await outcome
  await first.process.exited
  await poll(() => blobs().every(({ ended }) => ended), {
    deadlineMs: 10_000,
    what: 'the end of the requests',
  })
  expect(await readdir(`${node.storeDirectory}/trees`)).toEqual([])
  registry.clearRequests()
  slow.remove()

  await using second = await node.startDriver()
  await second.csi.nodePublishVolume(request)
  expect(sent()).toBeGreaterThan(0)
  expect(sent()).toBeLessThanOrEqual(0.25 * content.size)
  expect(await digestOfFile(`${request.target_path}/big`, content.size)).toBe(digest)
  expect(await readdir(`${node.storeDirectory}/ingest`)).toEqual([])
  await second.csi.nodeUnpublishVolume(request)
})

async function digestOfFile(path: string, size: number): Promise<string> {
  await using file = await open(path)
  const bytes = Buffer.alloc(size)
  await file.read(bytes, 0, size, 0)
  const content: Content = { size, slice: (start, end) => bytes.subarray(start, end) }
  return digestOfContent(content)
}
