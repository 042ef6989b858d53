import { describe, expect, test } from 'vitest'
import { createCertificateAuthority } from '../../../support/certificates.ts'
import { startProxy } from '../../../support/proxy.ts'
import {
  type RegistryOptions,
  startRegistry,
  type TestRegistry,
} from '../../../support/registry.ts'
import {
  BLOBS,
  blobOf,
  type Downloads,
  MEBIBYTE,
  REPOSITORY,
  startDownloads,
} from './download-fixture.ts'

const BIG = blobOf(5 * MEBIBYTE + 3)
const SMALL = blobOf(MEBIBYTE + 3)

/** Both ways to download, of blobs that a thread gets and of those that the main thread gets. */
const WAYS = [
  ['in a thread', BIG],
  ['on the main thread', SMALL],
] as const

/** A registry, with a mirror that has its blob before it. */
async function started(
  blob: typeof BIG,
  options: {
    readonly mirror?: RegistryOptions
    readonly settings?: string
    readonly files?: Readonly<Record<string, string>>
    readonly perBlob?: number
  } = {},
): Promise<Downloads & { readonly mirror: TestRegistry }> {
  await using stack = new AsyncDisposableStack()
  const mirror = stack.use(await startRegistry(options.mirror))
  mirror.addBlob(REPOSITORY, blob.content)
  const downloads = stack.use(
    await startDownloads({
      blob,
      connections: { perBlob: options.perBlob ?? 1 },
      hostFiles: ({ url }) => ({
        ...options.files,
        'hosts.toml': `server = "${url}"\n[host."${mirror.url}"]\n${options.settings ?? ''}`,
      }),
    }),
  )
  const owned = stack.move()
  return { ...downloads, mirror, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function expectDownloaded(downloads: Downloads, { descriptor }: typeof BIG) {
  expect(await downloads.store.blobs.has(descriptor.digest, downloads.origin)).toBe(true)
  expect(await downloads.ingest()).toStrictEqual([])
}

describe.each(WAYS)('%s, a blob', (_, blob) => {
  test('comes from the mirror, and nothing of it from the server', async () => {
    await using it = await started(blob)
    await it.ensure()
    await expectDownloaded(it, blob)
    expect(it.mirror.requests.map(({ query }) => query)).toStrictEqual([{ ns: it.registry.host }])
    expect(it.gets()).toStrictEqual([])
  })

  test('comes from the server when the mirror has not got it', async () => {
    await using it = await started(blob)
    it.mirror.fault({}, { kind: 'status', status: 404 })
    await it.ensure()
    await expectDownloaded(it, blob)
  })

  test('goes on at the server when the mirror dies in the middle', async () => {
    await using it = await started(blob)
    using gate = it.mirror.hold({ ...BLOBS, afterBytes: MEBIBYTE / 2 })
    const ensured = it.ensure()
    await gate.arrived
    await it.mirror[Symbol.asyncDispose]()
    await ensured
    await expectDownloaded(it, blob)
    expect(it.gets().length).toBeGreaterThan(0)
  })

  test('goes on at the server when the mirror is there and sends nothing more', async () => {
    await using it = await started(blob)
    it.mirror.fault(BLOBS, { kind: 'reset', afterBytes: 0 })
    await it.ensure()
    await expectDownloaded(it, blob)
  })

  test.each(['first', 'last'])(
    'of which the mirror changed the %s byte comes whole from the server',
    async (which) => {
      await using it = await started(blob)
      const at = which === 'first' ? 0 : blob.descriptor.size - 1
      it.mirror.fault(BLOBS, { kind: 'corrupt', at })
      await it.ensure()
      await expectDownloaded(it, blob)
      expect(it.gets().map(({ range }) => range)).toStrictEqual([undefined])
    },
  )

  test('that every host changed is an error, and nothing of it stays', async () => {
    await using it = await started(blob)
    for (const registry of [it.mirror, it.registry]) registry.fault(BLOBS, { kind: 'corrupt' })
    await expect(it.ensure()).rejects.toMatchObject({ code: 'CORRUPT' })
    expect([it.mirror.count('GET'), it.gets().length]).toStrictEqual([1, 1])
    expect(await it.store.blobs.has(blob.descriptor.digest, it.origin)).toBe(false)
    expect(await it.ingest()).toStrictEqual([])
  })

  test('comes over TLS from a mirror that wants a certificate and a header of ours', async () => {
    const authority = await createCertificateAuthority()
    const [server, client] = [
      await authority.issue({ names: ['127.0.0.1'] }),
      await authority.issue({ names: ['node'] }),
    ]
    await using it = await started(blob, {
      mirror: { tls: { ...server, clientCa: authority.cert } },
      settings:
        'ca = "ca.pem"\nclient = [["client.cert", "client.key"]]\nheader = { X-Token = "hunter2" }',
      files: { 'ca.pem': authority.cert, 'client.cert': client.cert, 'client.key': client.key },
    })
    await it.ensure()
    await expectDownloaded(it, blob)
    expect(it.mirror.requests.map(({ headers }) => headers['x-token'])).toStrictEqual(['hunter2'])
    expect(it.gets()).toStrictEqual([])
  })

  test('comes through a proxy', async () => {
    await using proxy = await startProxy()
    await using it = await startDownloads({
      blob,
      tls: true,
      proxies: { proxyFor: () => proxy.url },
    })
    await it.ensure()
    await expectDownloaded(it, blob)
    expect(proxy.requests.map(({ line }) => line)).toStrictEqual([`CONNECT ${it.registry.host}`])
    expect(it.registry.connections).toBe(1)
  })
})

test('a blob in many parts comes whole when the mirror dies in the middle', async () => {
  await using it = await started(BIG, { perBlob: 4 })
  it.mirror.fault(BLOBS, { kind: 'throttle', bytesPerSecond: 4 * MEBIBYTE })
  using gate = it.mirror.hold({ ...BLOBS, times: 1, afterBytes: MEBIBYTE })
  const ensured = it.ensure()
  await gate.arrived
  await it.mirror[Symbol.asyncDispose]()
  await ensured
  await expectDownloaded(it, BIG)
})
