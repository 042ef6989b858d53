import { readFile, truncate } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { isCodedError } from '../../../common/errors.ts'
import { ANONYMOUS } from '../../../common/oci/credentials.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import {
  BLOBS,
  blobOf,
  bytesOf,
  type Downloads,
  MEBIBYTE,
  REPOSITORY,
  startDownloads,
} from './download/download-fixture.ts'

const BIG = blobOf(5 * MEBIBYTE + 3)
const TINY = { ...BIG.descriptor, size: 1 }
const HUGE = { ...BIG.descriptor, size: 6 * MEBIBYTE }

/** Asks for the blob as a manifest describes it, in a repository of the registry; `ok`, or the error with REGISTRY for the host. */
async function ask(node: Downloads, descriptor: Descriptor, repository = REPOSITORY) {
  const { host } = node.registry
  try {
    await node.blobs.ensure(descriptor, `${host}/${repository}`, {
      reference: { registry: host, repository, tag: 'v1' },
      keyring: ANONYMOUS,
      signal: AbortSignal.timeout(30_000),
    })
    return 'ok'
  } catch (error) {
    if (!isCodedError(error)) throw error
    return `${error.code} ${error.message.replaceAll(host, 'REGISTRY')}`
  }
}

/** What who asks for it on an empty node is told. */
async function askAfresh(descriptor: Descriptor) {
  await using node = await startDownloads({ blob: BIG })
  return await ask(node, descriptor)
}

describe.each([
  ['one byte', TINY],
  ['more than there is', HUGE],
] as const)('attack: a second manifest that states %s for a blob', (_, stated) => {
  test('on the disk is told what it would be on an empty node', async () => {
    await using node = await startDownloads({ blob: BIG })
    expect(await ask(node, BIG.descriptor)).toBe('ok')
    const answer = await ask(node, stated)
    expect(answer).toMatch(/^CORRUPT /)
    expect(answer).toBe(await askAfresh(stated))
    // And whoever states what is so has it still.
    node.registry.clearRequests()
    expect(await ask(node, BIG.descriptor)).toBe('ok')
    expect(node.gets()).toEqual([])
  })

  test('on its way does not share its fate', async () => {
    await using node = await startDownloads({ blob: BIG })
    using gate = node.registry.hold({ ...BLOBS, afterBytes: MEBIBYTE })
    const honest = ask(node, BIG.descriptor)
    await gate.arrived
    const hostile = ask(node, stated)
    gate.release()
    expect(await honest).toBe('ok')
    expect(await hostile).toMatch(/^CORRUPT /)
  })

  test('of another repository is told so there', async () => {
    await using node = await startDownloads({ blob: BIG })
    expect(await ask(node, BIG.descriptor)).toBe('ok')
    node.registry.addBlob('acme/other', BIG.content)
    expect(await ask(node, stated, 'acme/other')).toMatch(/^CORRUPT /)
    expect(await ask(node, BIG.descriptor, 'acme/other')).toBe('ok')
  })
})

test('a blob that was cut on the disk is downloaded again, and replaced', async () => {
  await using node = await startDownloads({ blob: BIG })
  expect(await ask(node, BIG.descriptor)).toBe('ok')
  const path = node.store.blobs.path(BIG.descriptor.digest)
  await truncate(path, MEBIBYTE)
  expect(await ask(node, BIG.descriptor)).toBe('ok')
  expect((await readFile(path)).equals(bytesOf(BIG.content))).toBe(true)
})
