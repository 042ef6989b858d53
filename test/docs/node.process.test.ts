import { expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { block } from './blocks.ts'
import { openShell } from './shell.ts'

const why = await whyNoMounts()

test('what the pages tell to type on a node looks into the store of its driver', {
  timeout: 90_000,
}, async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(registry.url, 'acme/app:v1', artifact({ layers: [{ title: 'a', content: 'hello' }] }))
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  const request = await node.request('pod', `${registry.host}/acme/app:v1`)
  await driver.csi.nodePublishVolume(request)
  await using directory = await temporaryDirectory()
  const shell = await openShell(directory)
  // The node's store is not where a node has it.
  const here = (script: string) =>
    script.replace(/^(oras-csi cache .*)$/gm, `$1 --store-directory ${node.storeDirectory}`)

  const looked = await shell.type(here(block('node/cache')))
  expect(looked.stdout).toContain(`${registry.host}/acme/app`)
  const verified = await shell.type(here(block('node/verify')))
  expect(verified.status).toBe(0)

  await driver.csi.nodeUnpublishVolume(request)
  const pruned = await shell.type(here(block('node/prune')))
  expect(pruned.stdout).not.toBe('')
  const left = await shell.type(`oras-csi cache ls --json --store-directory ${node.storeDirectory}`)
  expect(left.stdout).not.toContain(`${registry.host}/acme/app:v1`)
})
