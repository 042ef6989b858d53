import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { serveOnSocket } from '../../../driver/csi/socket-server.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

test('a socket takes the place of a stale one, belongs to its owner alone, and goes with its server', async () => {
  await using directory = await temporaryDirectory()
  const path = directory.file('plugin', 'csi.sock')
  await mkdir(directory.file('plugin'))
  await writeFile(path, 'stale')
  {
    await using server = await serveOnSocket(path, [])
    expect(server.path).toBe(path)
    const found = await stat(path)
    expect([found.isSocket(), found.mode & 0o777]).toEqual([true, 0o600])
    expect(await readdir(directory.file('plugin'))).toEqual(['csi.sock'])
  }
  expect(await readdir(directory.file('plugin'))).toEqual([])
})

test("a server that stops leaves the next one's socket at its place alone", async () => {
  await using directory = await temporaryDirectory()
  const path = directory.file('csi.sock')
  const first = await serveOnSocket(path, [])
  await using _next = await serveOnSocket(path, [])
  const { ino } = await stat(path)
  await first[Symbol.asyncDispose]()
  expect((await stat(path)).ino).toBe(ino)
})

const LONG = `/nowhere/${'d'.repeat(100)}`

test.each([
  [
    'no name of a socket',
    '/nowhere/csi',
    'Invalid socket "/nowhere/csi": expected a name that ends in ".sock"',
  ],
  [
    'a path that no socket address holds',
    `${LONG}/csi.sock`,
    `Invalid socket "${LONG}/csi.sock": "${LONG}/.csi-${process.pid}.sock" is longer than the 107 bytes of a unix socket; choose a shorter directory`,
  ],
])('%s is INVALID', async (_, path, message) => {
  await expect(serveOnSocket(path, [])).rejects.toMatchObject({ code: 'INVALID', message })
})
