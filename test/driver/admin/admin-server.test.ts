import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { askDriver } from '../../../cli/admin-client.ts'
import { CodedError } from '../../../common/errors.ts'
import { ADMIN_PATHS, parseQuarantineAnswer } from '../../../driver/admin/admin-message.ts'
import { type AdminHandler, startAdminServer } from '../../../driver/admin/admin-server.ts'
import { storeAdmin } from '../../../driver/admin/store-admin.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { openTestStore, silentLog } from '../store/open-test-store.ts'

const signal = new AbortController().signal

function start(directory: string, handlers: Readonly<Record<string, AdminHandler>>) {
  return startAdminServer({ directory, handlers, log: silentLog() })
}

function ask(directory: string, path: string, body: object) {
  const parse = (answer: Uint8Array): unknown => JSON.parse(Buffer.from(answer).toString())
  return askDriver({ directory, path, body, parse, signal })
}

describe('the admin socket', () => {
  test('answers in a directory whose path is longer than the address of a socket, and goes when it is over', async () => {
    await using directory = await temporaryDirectory()
    const long = directory.file('d'.repeat(120))
    await mkdir(long)
    {
      await using _ = await start(long, { '/echo': async (body) => ({ length: body.length }) })
      expect(await ask(long, '/echo', { a: 1 })).toEqual({ length: 7 })
      expect((await stat(`${long}/admin.sock`)).mode & 0o777).toBe(0o600)
      expect(await readdir(long)).toEqual(['admin.sock'])
    }
    expect(await readdir(long)).toEqual([])
  })

  test('of another server that has taken its place stays', async () => {
    await using directory = await temporaryDirectory()
    const first = await start(directory.path, {})
    await using _ = await start(directory.path, { '/second': async () => ({ second: true }) })
    await first[Symbol.asyncDispose]()
    expect(await ask(directory.path, '/second', {})).toEqual({ second: true })
  })

  test('passes errors on by code and message, and a bug without its detail', async () => {
    await using directory = await temporaryDirectory()
    await using _ = await start(directory.path, {
      '/known': async () => {
        throw new CodedError('CONFLICT', 'It is in use')
      },
      '/bug': async () => {
        throw new TypeError('secret')
      },
    })
    await expect(ask(directory.path, '/known', {})).rejects.toMatchObject({
      ...{ code: 'CONFLICT', message: 'It is in use' },
    })
    await expect(ask(directory.path, '/bug', {})).rejects.toMatchObject({
      ...{ code: 'INTERNAL', message: 'Internal error: the log has the detail' },
    })
    await expect(ask(directory.path, '/constructor', {})).rejects.toMatchObject({
      ...{ code: 'NOT_FOUND', message: 'This driver does not know POST /constructor' },
    })
    await expect(ask(directory.path, '/known', { long: 'x'.repeat(70_000) })).rejects.toMatchObject(
      { code: 'INVALID' },
    )
  })
})

describe('what may be asked', () => {
  test.for([
    [
      'a key that leads out of the store',
      ADMIN_PATHS.quarantine,
      { kind: 'tree', key: '../../etc' },
      'Expected a key of 64 hexadecimal digits, found "../../etc"',
    ],
    [
      'a digest that is none',
      ADMIN_PATHS.quarantine,
      { kind: 'blob', key: 'sha256:../x' },
      'Expected a digest, found "sha256:../x"',
    ],
    [
      'a kind that is none',
      ADMIN_PATHS.quarantine,
      { kind: 'volume', key: 'x' },
      'request.kind: expected one of tree, view, blob',
    ],
    [
      'a prune without an age',
      ADMIN_PATHS.prune,
      { isDryRun: true },
      'request: has no "usedBefore"',
    ],
  ] as const)('%s is refused', async ([, path, body, message]) => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.file('store'))
    await writeFile(directory.file('etc'), 'mine')
    const evictor = { prune: async () => [] }
    await using _ = await start(directory.path, storeAdmin({ store, evictor }))
    await expect(ask(directory.path, path, body)).rejects.toMatchObject({
      code: 'INVALID',
      message,
    })
    expect(await readdir(directory.path)).toEqual(['admin.sock', 'etc', 'store'])
  })

  test('to move away what is not there is answered', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.file('store'))
    const evictor = { prune: async () => [] }
    await using _ = await start(directory.path, storeAdmin({ store, evictor }))
    const answer = await askDriver({
      directory: directory.path,
      path: ADMIN_PATHS.quarantine,
      body: { kind: 'tree', key: 'a'.repeat(64) },
      parse: parseQuarantineAnswer,
      signal,
    })
    expect(answer).toEqual({ wasThere: false })
  })
})
