import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { Credential, Keyring } from '../../../../common/oci/credentials.ts'
import { digestOf } from '../../../../common/oci/digest.ts'
import { startDownloadThread } from '../../../../driver/pull/download/thread.ts'
import { readWatermark } from '../../../../driver/pull/watermark.ts'
import { ingestPath } from '../../../../driver/store/ingest-files.ts'
import { poll } from '../../../support/poll.ts'
import { startRegistry } from '../../../support/registry.ts'
import {
  BLOB,
  BLOBS,
  blobOf,
  bytesOf,
  bytesSent,
  CONTENT,
  type Downloads,
  MEBIBYTE,
  REPOSITORY,
  startDownloads,
} from './download-fixture.ts'

/** Whether the store has the blob, and nothing else is left of the download. */
async function expectDownloaded(
  downloads: Downloads,
  blob = { content: CONTENT, descriptor: BLOB },
) {
  const file = await readFile(downloads.store.blobs.path(blob.descriptor.digest))
  expect(file.equals(bytesOf(blob.content))).toBe(true)
  expect(await downloads.ingest()).toEqual([])
}

function ranges(downloads: Downloads) {
  return downloads.gets().map(({ range, status }) => `${range ?? 'all'} ${status}`)
}

describe('a big blob', () => {
  test.each([
    ['plain HTTP', false],
    ['TLS with a private authority', true],
  ])('comes over %s, in one request', async (_, tls) => {
    await using downloads = await startDownloads({ tls })
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(ranges(downloads)).toEqual(['all 200'])
    expect(downloads.gets()[0]?.headers).toEqual({
      host: downloads.registry.host,
      'user-agent': 'oras-csi',
      'accept-encoding': 'identity',
    })
  })

  test('is downloaded once for fifty who ask', async () => {
    await using downloads = await startDownloads()
    await Promise.all(Array.from({ length: 50 }, () => downloads.ensure()))
    await expectDownloaded(downloads)
    expect(ranges(downloads)).toEqual(['all 200'])
  })

  test('is not touched by the main thread', async () => {
    await using downloads = await startDownloads()
    const requests: unknown[] = []
    const note = (message: unknown) => requests.push(message)
    subscribe('undici:request:create', note)
    try {
      await downloads.ensure()
    } finally {
      unsubscribe('undici:request:create', note)
    }
    await expectDownloaded(downloads)
    expect(requests).toEqual([])
  })

  test('can be followed from the moment it is asked for', async () => {
    await using downloads = await startDownloads()
    using gate = downloads.registry.hold({ ...BLOBS, afterBytes: 3 * MEBIBYTE })
    expect(downloads.blobs.follow(BLOB, downloads.origin)).toBeUndefined()
    const done = downloads.ensure()
    const followed = downloads.blobs.follow(BLOB, downloads.origin)
    if (followed === undefined) throw new Error('not followed')
    const { path, watermark } = followed
    expect(readWatermark(watermark)).toEqual({ bytes: 0, state: 'running' })
    await poll(() => readWatermark(watermark).bytes === 3 * MEBIBYTE, {
      deadlineMs: 10_000,
      what: '3 MiB',
    })
    expect((await readFile(path)).equals(CONTENT.slice(0, 3 * MEBIBYTE))).toBe(true)
    expect(downloads.blobs.downloaded(BLOB, downloads.origin)).toBe(3 * MEBIBYTE)
    gate.release()
    await done
    expect(readWatermark(watermark)).toEqual({ bytes: BLOB.size, state: 'complete' })
    expect(downloads.blobs.follow(BLOB, downloads.origin)).toBeUndefined()
    await downloads.ensure()
  })

  test('is complete at once for a follower when it is here already', async () => {
    await using downloads = await startDownloads()
    await downloads.ensure()
    const again = downloads.ensure()
    const followed = downloads.blobs.follow(BLOB, downloads.origin)
    await again
    expect(followed && readWatermark(followed.watermark)).toEqual({
      bytes: BLOB.size,
      state: 'complete',
    })
    expect(downloads.gets().length).toBe(1)
  })
})

describe('a connection that breaks', () => {
  const TENTHS = Array.from({ length: 10 }, (_, tenth) => [
    tenth,
    Math.floor((BLOB.size * tenth) / 10),
  ])

  test.each(TENTHS)('by a reset after %i tenths of the blob is taken up', async (_, afterBytes) => {
    await using downloads = await startDownloads()
    downloads.registry.fault({ ...BLOBS, times: 1 }, { kind: 'reset', afterBytes: afterBytes ?? 0 })
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(downloads.gets().length).toBe(2)
  })

  test.each(TENTHS)(
    'by its end after %i tenths is taken up where it ended',
    async (_, afterBytes) => {
      await using downloads = await startDownloads()
      downloads.registry.fault(
        { ...BLOBS, times: 1 },
        { kind: 'truncate', afterBytes: afterBytes ?? 0 },
      )
      await downloads.ensure()
      await expectDownloaded(downloads)
      expect(ranges(downloads)).toEqual([
        'all 200',
        afterBytes === 0 ? 'all 200' : `bytes=${afterBytes}-${BLOB.size - 1} 206`,
      ])
    },
  )

  test('and never gains a byte is given up, and what is here stays', async () => {
    await using downloads = await startDownloads()
    downloads.registry.fault({ ...BLOBS, times: 1 }, { kind: 'truncate', afterBytes: MEBIBYTE })
    downloads.registry.fault(
      { ...BLOBS, where: ({ range }) => range !== undefined },
      { kind: 'truncate', afterBytes: 0 },
    )
    await expect(downloads.ensure()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `${downloads.subject}: connection to "${downloads.registry.url}" broke`,
    })
    expect(ranges(downloads)).toEqual([
      'all 200',
      ...Array.from({ length: 5 }, () => `bytes=${MEBIBYTE}-${BLOB.size - 1} 206`),
    ])
    expect((await downloads.ingest()).length).toBe(1)
  })

  test('without a byte for too long is dropped, and its part asked for again', async () => {
    await using downloads = await startDownloads({ idleTimeoutMs: 300 })
    using gate = downloads.registry.hold({ ...BLOBS, times: 1, afterBytes: 2 * MEBIBYTE })
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(gate.arrivals).toBe(1)
    expect(ranges(downloads)).toEqual(['all 200', `bytes=${2 * MEBIBYTE}-${BLOB.size - 1} 206`])
  })

  test('a server that never answers is given up', async () => {
    await using downloads = await startDownloads({ idleTimeoutMs: 100 })
    using gate = downloads.registry.hold(BLOBS)
    await expect(downloads.ensure()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(
        `${downloads.subject}: no byte from "${downloads.registry.url}" for 0.1 s`,
      ),
    })
    // Five tries of five requests are not made, when two went by without a byte.
    expect(gate.arrivals).toBeLessThanOrEqual(3)
  })
})

describe('a registry that answers with', () => {
  test('500 and heals is asked again', async () => {
    await using downloads = await startDownloads()
    downloads.registry.fault({ ...BLOBS, times: 2 }, { kind: 'status', status: 500 })
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(ranges(downloads)).toEqual(['all 500', 'all 500', 'all 200'])
    expect(downloads.waits).toEqual([200, 400])
  })

  test('429 is asked again after as long as it says', async () => {
    await using downloads = await startDownloads()
    downloads.registry.fault(
      { ...BLOBS, times: 1 },
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
    )
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(downloads.waits).toEqual([7_000])
  })

  test('404 is not asked again', async () => {
    await using downloads = await startDownloads()
    downloads.registry.remove(REPOSITORY, BLOB.digest)
    await expect(downloads.ensure()).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: `${downloads.subject}: registry has no blob ${BLOB.digest} (BLOB_UNKNOWN)`,
    })
    expect(downloads.gets().length).toBe(1)
  })

  test.each([
    ['another range', { kind: 'content-range' }],
    [
      'another size in its range',
      { kind: 'content-range', value: `bytes ${MEBIBYTE}-${BLOB.size - 1}/9` },
    ],
    ['the whole', { kind: 'ignore-range' }],
  ] as const)('%s than was asked for: what is here is passed over', async (_, fault) => {
    await using downloads = await startDownloads()
    downloads.registry.fault({ ...BLOBS, times: 1 }, { kind: 'truncate', afterBytes: MEBIBYTE })
    downloads.registry.fault({ ...BLOBS, where: ({ range }) => range !== undefined }, fault)
    const done = downloads.ensure()
    const followed = downloads.blobs.follow(BLOB, downloads.origin)
    await done
    await expectDownloaded(downloads)
    expect(ranges(downloads).map((range) => range.split(' ')[0])).toEqual([
      'all',
      `bytes=${MEBIBYTE}-${BLOB.size - 1}`,
      'all',
    ])
    // Nothing was written twice, so whoever follows need not begin again.
    expect(followed && readWatermark(followed.watermark).state).toBe('complete')
  })

  test('the whole each time, and breaks in the middle each time, is given up', async () => {
    await using downloads = await startDownloads()
    downloads.registry.fault(BLOBS, { kind: 'ignore-range' })
    downloads.registry.fault(BLOBS, { kind: 'truncate', afterBytes: MEBIBYTE })
    await expect(downloads.ensure()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(downloads.gets().length).toBeLessThan(10)
  })

  test.each([
    [2, BLOB.size + 2],
    [-2, BLOB.size - 2],
  ])('a body of %i bytes more than the descriptor says is CORRUPT', async (by, size) => {
    await using downloads = await startDownloads()
    const fault = downloads.registry.fault(BLOBS, { kind: 'resize', by })
    await expect(downloads.ensure()).rejects.toMatchObject({
      code: 'CORRUPT',
      message: `${downloads.subject}: registry sends ${size} bytes of blob ${BLOB.digest}; expected ${BLOB.size}`,
    })
    expect(await downloads.ingest()).toEqual([])
    fault.remove()
    await downloads.ensure()
    await expectDownloaded(downloads)
  })

  test('bytes after the body it announced: they are no part of anything', async () => {
    await using downloads = await startDownloads()
    downloads.registry.fault(BLOBS, { kind: 'surplus', bytes: 100_000 })
    await downloads.ensure()
    await expectDownloaded(downloads)
    downloads.registry.remove(REPOSITORY, BLOB.digest)
  })

  test('another digest for the blob is CORRUPT', async () => {
    await using downloads = await startDownloads()
    const claim = digestOf('another')
    downloads.registry.fault(BLOBS, { kind: 'digest-header', value: claim })
    await expect(downloads.ensure()).rejects.toMatchObject({
      code: 'CORRUPT',
      message: `${downloads.subject}: registry answered for blob ${BLOB.digest} with ${claim}`,
    })
  })

  test.each([0, BLOB.size - 1])(
    'a wrong byte at %i is CORRUPT, and nothing of it stays',
    async (at) => {
      await using downloads = await startDownloads()
      const fault = downloads.registry.fault(BLOBS, { kind: 'corrupt', at })
      const done = downloads.ensure()
      const followed = downloads.blobs.follow(BLOB, downloads.origin)
      const error = await done.catch((reason: unknown) => reason)
      expect(error).toMatchObject({
        code: 'CORRUPT',
        message: expect.stringMatching(
          new RegExp(`: the bytes of blob ${BLOB.digest} hash to sha256:[0-9a-f]{64}$`),
        ),
      })
      expect(followed && readWatermark(followed.watermark).state).toBe('failed')
      expect(await downloads.ingest()).toEqual([])
      await expect(readFile(downloads.store.blobs.path(BLOB.digest))).rejects.toMatchObject({
        code: 'ENOENT',
      })
      fault.remove()
      await downloads.ensure()
      await expectDownloaded(downloads)
    },
  )

  test('chunks without a length is read by the full HTTP client, which goes on where the thread was', async () => {
    await using downloads = await startDownloads()
    downloads.registry.fault({ ...BLOBS, times: 1 }, { kind: 'truncate', afterBytes: MEBIBYTE })
    downloads.registry.fault(
      { ...BLOBS, where: ({ range }) => range !== undefined },
      { kind: 'chunked' },
    )
    const done = downloads.ensure()
    const followed = downloads.blobs.follow(BLOB, downloads.origin)
    await done
    await expectDownloaded(downloads)
    const rest = `bytes=${MEBIBYTE}-${BLOB.size - 1} 206`
    expect(ranges(downloads)).toEqual(['all 200', rest, rest])
    expect(followed && readWatermark(followed.watermark)).toEqual({
      bytes: BLOB.size,
      state: 'complete',
    })
  })
})

function basic(username: string, password: string): Keyring {
  const credential: Credential = { kind: 'basic', username, password }
  return { lookup: () => [{ label: 'secret of the volume', credential }] }
}

describe('credentials', () => {
  const auth = { kind: 'bearer', users: { alice: 'sesame' } } as const

  test('a token is asked for when the registry wants one, by the main thread', async () => {
    await using downloads = await startDownloads({ registry: { auth } })
    await downloads.ensure({ keyring: basic('alice', 'sesame') })
    await expectDownloaded(downloads)
    expect(downloads.gets().map(({ authorization, status }) => [authorization, status])).toEqual([
      ['none', 401],
      ['bearer', 200],
    ])
  })

  test('a wrong password is UNAUTHENTICATED, with what was tried', async () => {
    await using downloads = await startDownloads({
      registry: { auth: { kind: 'basic', users: { alice: 'sesame' } } },
    })
    await expect(downloads.ensure({ keyring: basic('alice', 'wrong') })).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      message: `${downloads.subject}: registry answered 401 Unauthorized (UNAUTHORIZED); tried secret of the volume, anonymous access`,
    })
  })

  test('GHSA-vh4v-2xq2-g5cg: another host, to which the registry redirects, gets no Authorization', async () => {
    await using downloads = await startDownloads({ registry: { auth } })
    await using storage = await startRegistry()
    storage.addBlob(REPOSITORY, CONTENT)
    downloads.registry.fault(BLOBS, { kind: 'redirect', to: storage.url })
    storage.fault({ ...BLOBS, times: 2 }, { kind: 'truncate', afterBytes: MEBIBYTE })
    await downloads.ensure({ keyring: basic('alice', 'sesame') })
    await expectDownloaded(downloads)
    expect(storage.requests.map(({ authorization, range }) => [authorization, range])).toEqual([
      ['none', undefined],
      ['none', `bytes=${MEBIBYTE}-${BLOB.size - 1}`],
      ['none', `bytes=${2 * MEBIBYTE}-${BLOB.size - 1}`],
    ])
    // A signed URL serves the other parts too: the registry was asked once, and once for want of a token.
    expect(downloads.gets().length).toBe(2)
  })

  test('a signed URL that has expired is asked for again', async () => {
    await using downloads = await startDownloads()
    await using storage = await startRegistry()
    storage.addBlob(REPOSITORY, CONTENT)
    downloads.registry.fault(BLOBS, { kind: 'redirect', to: storage.url })
    storage.fault({ ...BLOBS, times: 1 }, { kind: 'truncate', afterBytes: MEBIBYTE })
    storage.fault(
      { ...BLOBS, times: 1, where: ({ range }) => range !== undefined },
      { kind: 'status', status: 403 },
    )
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(storage.requests.map(({ status }) => status)).toEqual([200, 403, 206])
    expect(downloads.gets().length).toBe(2)
  })

  test('a signed URL and a token are in no error, nor its causes', async () => {
    await using downloads = await startDownloads({ registry: { auth } })
    await using storage = await startRegistry()
    downloads.registry.fault(BLOBS, {
      kind: 'redirect',
      to: `${storage.url}/blob?X-Amz-Signature=topsecret`,
    })
    storage.fault({ method: 'GET' }, { kind: 'disconnect' })
    const error = await downloads
      .ensure({ keyring: basic('alice', 'sesame') })
      .catch((reason: unknown) => reason)
    const token = String(downloads.gets().at(-1)?.headers.authorization)
    expect(token).toMatch(/^Bearer ./)
    const text = inspect(error, { depth: 20, showHidden: true })
    expect(text).toContain(`connection to "${storage.url}" broke`)
    for (const secret of ['topsecret', token.slice('Bearer '.length), 'sesame']) {
      expect(text).not.toContain(secret)
    }
  })
})

describe('addresses that a registry may not lead to', () => {
  const request = {
    method: 'GET',
    headers: {},
    tls: { ca: [], verify: true },
    reach: 'private',
    signal: new AbortController().signal,
  } as const

  test.each(['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]'])(
    'GHSA-xf85-363p-868w: %s is not contacted by a thread either',
    async (host) => {
      await using registry = await startRegistry()
      await using thread = startDownloadThread({
        timing: { idleTimeoutMs: 5_000, retryBaseMs: 20 },
        execArgv: [],
        onExit: () => undefined,
      })
      const url = new URL(`http://${host}:${registry.port}/v2/`)
      await expect(
        thread.exchanges.send({ ...request, url }, () => undefined),
      ).rejects.toMatchObject({
        code: 'DENIED',
        message: `"${url.origin}" is at a loopback, link-local or private address that this registry may not lead to; an admin can allow it by a hosts.toml for the registry`,
      })
      expect(registry.connections).toBe(0)
    },
  )

  test('where a host is seen is told', async () => {
    await using registry = await startRegistry()
    await using thread = startDownloadThread({
      timing: { idleTimeoutMs: 5_000, retryBaseMs: 20 },
      execArgv: [],
      onExit: () => undefined,
    })
    const seen: string[] = []
    for (const host of ['127.0.0.1', 'localhost']) {
      const url = new URL(`http://${host}:${registry.port}/v2/`)
      await thread.exchanges.send({ ...request, url, reach: 'local' }, (name, reach) => {
        seen.push(`${name} ${reach}`)
      })
    }
    expect(seen).toEqual(['127.0.0.1 local', 'localhost local'])
  })
})

describe('TLS', () => {
  test('a certificate that nobody trusts is refused before a request is sent', async () => {
    await using trusted = await startDownloads({ tls: true })
    await using stranger = await startDownloads({ tls: true })
    trusted.registry.fault(BLOBS, { kind: 'redirect', to: stranger.registry.url })
    await expect(trusted.ensure()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(
        `cannot trust "${stranger.registry.url}": its certificate is signed by an unknown authority`,
      ),
    })
    expect(stranger.registry.requests).toEqual([])
  })
})

describe('what an earlier try left', () => {
  const leave = (downloads: Downloads, bytes: Uint8Array) =>
    writeFile(ingestPath(downloads.store.ingestDirectory, BLOB.digest, downloads.origin), bytes)

  test('is hashed again, and only the rest is downloaded', async () => {
    await using downloads = await startDownloads()
    await leave(downloads, CONTENT.slice(0, 4 * MEBIBYTE))
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(ranges(downloads)).toEqual([`bytes=${4 * MEBIBYTE}-${BLOB.size - 1} 206`])
  })

  test('needs no request when it is everything', async () => {
    await using downloads = await startDownloads()
    await leave(downloads, bytesOf(CONTENT))
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(downloads.gets()).toEqual([])
  })

  test.each([
    ['other bytes', Buffer.alloc(4 * MEBIBYTE, 'X')],
    ['as many other bytes', Buffer.alloc(BLOB.size, 'X')],
  ])('and is %s: found out, and downloaded afresh for those who follow', async (_, bytes) => {
    await using downloads = await startDownloads()
    await leave(downloads, bytes)
    using gate = downloads.registry.hold({ ...BLOBS, where: ({ range }) => range === undefined })
    const done = downloads.ensure()
    const first = downloads.blobs.follow(BLOB, downloads.origin)
    await gate.arrived
    expect(first && readWatermark(first.watermark).state).toBe('failed')
    const second = downloads.blobs.follow(BLOB, downloads.origin)
    expect(second && readWatermark(second.watermark)).toEqual({ bytes: 0, state: 'running' })
    gate.release()
    await done
    await expectDownloaded(downloads)
    expect(second && readWatermark(second.watermark).state).toBe('complete')
  })

  test('and is more than the blob: downloaded afresh', async () => {
    await using downloads = await startDownloads()
    await leave(downloads, Buffer.alloc(BLOB.size + 1))
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(ranges(downloads)).toEqual(['all 200'])
  })
})

describe('several connections', () => {
  const BIG = blobOf(40 * MEBIBYTE + 5)
  /** So slow that more connections help. */
  const SLOW = { kind: 'throttle', bytesPerSecond: 8 * MEBIBYTE } as const

  test('fetch a blob that one brings slowly, each byte once', async () => {
    await using downloads = await startDownloads({ blob: BIG, connections: { perBlob: 8 } })
    downloads.registry.fault(BLOBS, SLOW)
    await downloads.ensure()
    await expectDownloaded(downloads, BIG)
    expect(downloads.gets().length).toBeGreaterThan(2)
    expect(ranges(downloads)[0]).toBe('all 200')
    // The first answer is cut where the others begin; its connection may have been sent more by then.
    expect(bytesSent(downloads.gets().slice(1))).toBeLessThan(BIG.descriptor.size)
  })

  test('are no more than allowed', async () => {
    await using downloads = await startDownloads({ blob: BIG, connections: { perBlob: 3 } })
    downloads.registry.fault(BLOBS, SLOW)
    let most = 0
    const done = downloads.ensure()
    const watch = setInterval(() => {
      most = Math.max(most, downloads.gets().filter(({ ended }) => !ended).length)
    }, 5)
    await done
    clearInterval(watch)
    await expectDownloaded(downloads, BIG)
    expect([most > 1, most <= 3]).toEqual([true, true])
  })

  test('each part is tried again alone', async () => {
    await using downloads = await startDownloads({ blob: BIG, connections: { perBlob: 8 } })
    downloads.registry.fault(BLOBS, SLOW)
    let parts = 0
    downloads.registry.fault(
      { ...BLOBS, where: ({ range }) => range !== undefined && ++parts % 2 === 1 },
      { kind: 'reset', afterBytes: 100_000 },
    )
    await downloads.ensure()
    await expectDownloaded(downloads, BIG)
    expect(parts).toBeGreaterThan(2)
  })

  test('are not forced on a server without ranges', async () => {
    await using downloads = await startDownloads({ blob: BIG, connections: { perBlob: 8 } })
    downloads.registry.fault(BLOBS, SLOW)
    downloads.registry.fault(BLOBS, { kind: 'ignore-range' })
    await downloads.ensure()
    await expectDownloaded(downloads, BIG)
    const [whole, ...others] = downloads.gets()
    expect(whole?.bytesSent).toBe(BIG.descriptor.size)
    expect(others.length).toBe(1)
  })

  test('are not forced on a server that says 429 to the second', async () => {
    await using downloads = await startDownloads({ blob: BIG, connections: { perBlob: 8 } })
    downloads.registry.fault(BLOBS, SLOW)
    downloads.registry.fault(
      { ...BLOBS, where: ({ range }) => range !== undefined },
      { kind: 'status', status: 429, headers: { 'retry-after': '30' } },
    )
    await downloads.ensure()
    await expectDownloaded(downloads, BIG)
    expect(downloads.gets()[0]?.bytesSent).toBe(BIG.descriptor.size)
    expect(downloads.waits).toEqual([])
  })

  test('a download that is cancelled keeps its parts for the next', async () => {
    await using downloads = await startDownloads({ blob: BIG, connections: { perBlob: 8 } })
    const slow = downloads.registry.fault(BLOBS, SLOW)
    const stop = new AbortController()
    const done = downloads.ensure({ signal: stop.signal })
    const got = () => downloads.blobs.downloaded(BIG.descriptor, downloads.origin)
    await poll(() => got() > 30 * MEBIBYTE, { deadlineMs: 30_000, what: '30 MiB' })
    stop.abort(new Error('enough'))
    await expect(done).rejects.toThrow('enough')
    await poll(() => downloads.gets().every(({ ended }) => ended), {
      deadlineMs: 10_000,
      what: 'the end of the requests',
    })
    expect(
      (await downloads.ingest()).toSorted().map((name) => name.replace(/.*\.part/, '')),
    ).toEqual(['', '.ranges'])
    downloads.registry.clearRequests()
    slow.remove()
    await downloads.ensure()
    await expectDownloaded(downloads, BIG)
    expect(bytesSent(downloads.gets())).toBeLessThan(11 * MEBIBYTE)
  })

  test('what a record says that does not fit counts nothing', async () => {
    await using downloads = await startDownloads()
    const path = ingestPath(downloads.store.ingestDirectory, BLOB.digest, downloads.origin)
    await writeFile(path, Buffer.alloc(BLOB.size, 'X'))
    await writeFile(`${path}.ranges`, 'no record')
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(ranges(downloads)).toEqual(['all 200'])
  })

  test('a full HTTP client that has to take over forgets the parts behind the first gap', async () => {
    await using downloads = await startDownloads({ blob: BIG, connections: { perBlob: 8 } })
    const slow = downloads.registry.fault(BLOBS, SLOW)
    const stop = new AbortController()
    const done = downloads.ensure({ signal: stop.signal })
    await poll(() => downloads.gets().length > 3, { deadlineMs: 30_000, what: 'several parts' })
    stop.abort(new Error('enough'))
    await expect(done).rejects.toThrow('enough')
    slow.remove()
    downloads.registry.fault(BLOBS, { kind: 'chunked' })
    await downloads.ensure()
    await expectDownloaded(downloads, BIG)
  })
})

describe('a thread', () => {
  test('that dies fails its downloads, and another one takes its place', async () => {
    await using downloads = await startDownloads({
      execArgv: ['--import', new URL('./die-once.ts', import.meta.url).href],
    })
    await expect(downloads.ensure()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message:
        'Cannot download: the thread that did it ended unexpectedly (the plug was pulled); it is tried again',
    })
    await downloads.ensure()
    await expectDownloaded(downloads)
    expect(downloads.gets().length).toBe(2)
  })

  test('ends when it has had nothing to do for a while, and is started when it is needed', async () => {
    await using downloads = await startDownloads({ restMs: 1 })
    const threads = async () => {
      const tasks = await readdir('/proc/self/task')
      const names = await Promise.all(
        tasks.map((task) => readFile(`/proc/self/task/${task}/comm`, 'utf8').catch(() => '')),
      )
      return names.filter((name) => name.startsWith('oras-csi downlo')).length
    }
    downloads.threads.warm()
    await downloads.ensure()
    await poll(async () => (await threads()) === 0, {
      deadlineMs: 10_000,
      what: 'the end of the thread',
    })
    downloads.registry.remove(REPOSITORY, BLOB.digest)
    await expect(downloads.ensure()).resolves.toBeUndefined()
  })
})
