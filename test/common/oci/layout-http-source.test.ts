import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { digestHex, digestOf } from '../../../common/oci/digest.ts'
import type { HostPart } from '../../../common/oci/host-source.ts'
import { createLayoutHttpSource } from '../../../common/oci/layout-http-source.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import { createRegistrySource } from '../../../common/oci/registry-source.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { createTransport } from '../../../common/oci/transport.ts'
import { artifact, type Built, writeLayout } from '../../support/artifact.ts'
import { hostsOf, webHost } from '../../support/layout-hosts.ts'
import { type StaticFiles, startStaticFiles } from '../../support/static-files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { anonymously, describeArtifactSource } from './artifact-source.conformance.ts'

const REFERENCE: Reference = { registry: 'layout.test', repository: 'acme/app', tag: 'v1' }
const BUILT = artifact({ layers: [{ title: 'a', content: 'hello' }] })
const NEXT = artifact({ layers: [{ title: 'a', content: 'world' }] })
const BLOB: Descriptor = {
  mediaType: 'a/b',
  digest: digestOf('hello'),
  size: 5,
  annotations: {},
}
const INDEX = /\/index\.json$/

describeArtifactSource('OCI layouts on a web server', async () => {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const server = stack.use(await startStaticFiles({ root: directory.path }))
  const hosts = hostsOf(webHost(server.url))
  const source = stack.use(createRegistrySource({ hosts, retry: { baseMs: 1 } }))
  const made = stack.move()
  return {
    source,
    registry: 'layout.test',
    sender: 'layout',
    put: async (repository, tag, built) => {
      await mkdir(directory.file(repository), { recursive: true })
      await writeLayout(directory.file(repository), tag, built)
    },
    spoil: (repository, digest, bytes) =>
      writeFile(directory.file(repository, 'blobs', 'sha256', digestHex(digest)), bytes),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
})

async function served(built: Built = BUILT) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const put = async (tag: string, what: Built) => {
    await writeLayout(directory.file('acme', 'app'), tag, what)
    await age()
  }
  let seconds = 1_600_000_000
  /** Long ago, and each time later. */
  const age = async () => {
    seconds += 60
    await utimes(directory.file('acme', 'app', 'index.json'), seconds, seconds)
  }
  await put('v1', built)
  const server = stack.use(await startStaticFiles({ root: directory.path }))
  const transport = stack.use(createTransport({ idleTimeoutMs: 5_000 }))
  const source = createLayoutHttpSource({ transport })
  const made = stack.move()
  return {
    directory,
    server,
    source,
    put,
    host: webHost(server.url),
    blobFile: (digest: Descriptor['digest']) =>
      directory.file('acme', 'app', 'blobs', 'sha256', digestHex(digest)),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'nothing thrown'
  } catch (error) {
    if (!(error instanceof RequestFailure)) return String(error)
    return `${error.code}${error.transient ? ' (again)' : ''} ${error.message}`
  }
}

function paths(server: StaticFiles): string[] {
  return server.requests.map(
    ({ path, status }) => `${status} ${path.replace(/[0-9a-f]{64}/, 'DIGEST')}`,
  )
}

describe('the index of a layout on a web server', () => {
  test('is asked for by its ETag, and not sent again when it is the same', async () => {
    await using layout = await served()
    const { source, host, server } = layout
    for (let i = 0; i < 2; i++) {
      expect((await source.resolve(host, REFERENCE, anonymously())).digest).toBe(BUILT.digest)
    }
    expect(paths(server)).toEqual(['200 /acme/app/index.json', '304 /acme/app/index.json'])
  })

  test('that changed is read again', async () => {
    await using layout = await served()
    const { source, host } = layout
    await source.resolve(host, REFERENCE, anonymously())
    await layout.put('v1', NEXT)
    expect((await source.resolve(host, REFERENCE, anonymously())).digest).toBe(NEXT.digest)
  })

  test('that was written just now is not remembered: nginx calls another of the same second and length the same', async () => {
    await using layout = await served()
    const { source, host, directory } = layout
    const file = directory.file('acme', 'app', 'index.json')
    const now = Math.floor(Date.now() / 1000)
    await utimes(file, now, now)
    await source.resolve(host, REFERENCE, anonymously())
    await layout.put('v1', NEXT)
    await utimes(file, now, now)
    expect((await source.resolve(host, REFERENCE, anonymously())).digest).toBe(NEXT.digest)
  })

  test('that is swapped, with the manifests, between its reading and that of the manifest is looked up again', async () => {
    await using layout = await served()
    const { source, host, server, blobFile } = layout
    let swapped = false
    server.intercept(new RegExp(digestHex(BUILT.digest)), async () => {
      if (swapped) return false
      swapped = true
      await rm(blobFile(BUILT.digest))
      await layout.put('v1', NEXT)
      return false
    })
    const fetched = await source.manifest(host, REFERENCE, anonymously())
    expect(fetched.descriptor.digest).toBe(NEXT.digest)
  })

  test('that lists what is not there is NOT_FOUND, asked twice', async () => {
    await using layout = await served()
    const { source, host, server, blobFile } = layout
    await rm(blobFile(BUILT.digest))
    expect(await failureOf(source.manifest(host, REFERENCE, anonymously()))).toBe(
      `NOT_FOUND layout has no manifest "${BUILT.digest}"`,
    )
    expect(paths(server)).toEqual([
      '200 /acme/app/index.json',
      '404 /acme/app/blobs/sha256/DIGEST',
      '304 /acme/app/index.json',
    ])
  })

  test('is not needed for a digest', async () => {
    await using layout = await served()
    const { source, host, server } = layout
    await rm(layout.directory.file('acme', 'app', 'index.json'))
    const reference = { ...REFERENCE, digest: BUILT.digest }
    const { descriptor } = await source.manifest(host, reference, anonymously())
    expect(descriptor).toStrictEqual({
      mediaType: BUILT.mediaType,
      digest: BUILT.digest,
      size: BUILT.manifest.length,
      annotations: {},
    })
    expect(paths(server)).toEqual(['200 /acme/app/blobs/sha256/DIGEST'])
  })

  test.each([
    [
      'half-written',
      '{"manifests":[{"media',
      /^UNAVAILABLE \(again\) index\.json: not valid JSON.*; is somebody writing it\?$/,
    ],
    [
      "a captive portal's page",
      '<html>Please log in</html>',
      /^UNAVAILABLE \(again\) index\.json: not valid JSON.*; is somebody writing it\?$/,
    ],
    ['of another document', '{}', /^CORRUPT index\.json: has no "manifests"$/],
    [
      'larger than 2 MiB',
      ' '.repeat(2 * 1024 * 1024 + 1),
      /^CORRUPT index\.json is larger than 2097152 bytes$/,
    ],
  ])('that is %s', async (_, text, message) => {
    await using layout = await served()
    await writeFile(layout.directory.file('acme', 'app', 'index.json'), text)
    expect(await failureOf(layout.source.resolve(layout.host, REFERENCE, anonymously()))).toMatch(
      message,
    )
  })
})

describe('what a web server answers', () => {
  test.each([
    [401, 'UNAUTHENTICATED', ''],
    [403, 'DENIED', '; buckets say so of what is not there, too'],
    [500, 'UNAVAILABLE (again)', ''],
    [501, 'UNAVAILABLE', ''],
    [418, 'UNAVAILABLE', ''],
  ])('%i is told, and nothing of its body', async (status, code, hint) => {
    await using layout = await served()
    layout.server.intercept(INDEX, (_, response) => {
      response.writeHead(status).end('{"errors":[{"code":"SECRET"}]}')
      return true
    })
    const message = await failureOf(layout.source.resolve(layout.host, REFERENCE, anonymously()))
    const phrase = /answered (\d+ [^;]*) for/.exec(message)?.[1]
    expect(message).toBe(
      `${code} "${layout.server.host}" answered ${phrase} for repository "acme/app"${hint}`,
    )
    expect(message).not.toContain('SECRET')
  })

  test('a manifest of other bytes is CORRUPT', async () => {
    await using layout = await served()
    await writeFile(layout.blobFile(BUILT.digest), '{}')
    expect(await failureOf(layout.source.manifest(layout.host, REFERENCE, anonymously()))).toBe(
      `CORRUPT the manifest ${BUILT.digest} hashes to ${digestOf('{}')}`,
    )
  })

  test('a blob that is no manifest is none by its digest', async () => {
    await using layout = await served()
    const reference = { ...REFERENCE, digest: BLOB.digest }
    expect(await failureOf(layout.source.manifest(layout.host, reference, anonymously()))).toMatch(
      /^CORRUPT manifest: not valid JSON/,
    )
  })

  test('a manifest too big to be parsed here is fetched all the same', async () => {
    const padding = { 'com.acme.padding': 'x'.repeat(300_000) }
    const big = artifact({ layers: [{ title: 'a', content: 'hello' }], annotations: padding })
    await using layout = await served(big)
    const reference = { ...REFERENCE, digest: big.digest }
    const { descriptor } = await layout.source.manifest(layout.host, reference, anonymously())
    expect(descriptor.mediaType).toBe('application/octet-stream')
  })

  test('a manifest larger than the limit says which flag raises it', async () => {
    await using layout = await served()
    await using transport = createTransport({ idleTimeoutMs: 5_000 })
    const source = createLayoutHttpSource({ transport, maxManifestBytes: 10 })
    expect(await failureOf(source.manifest(layout.host, REFERENCE, anonymously()))).toBe(
      'EXHAUSTED manifest is larger than 10 bytes (the limit --max-manifest-bytes, which an admin can raise)',
    )
  })
})

describe('attacks by a web server', () => {
  test('headers of the configuration do not follow a redirect to another origin', async () => {
    await using layout = await served()
    await using other = await startStaticFiles({ root: layout.directory.path })
    layout.server.intercept(INDEX, (request, response) => {
      response.writeHead(307, { location: other.url + (request.url ?? '') }).end()
      return true
    })
    const host = webHost(layout.server.url, { headers: { 'x-secret': 'hunter2' } })
    expect((await layout.source.resolve(host, REFERENCE, anonymously())).digest).toBe(BUILT.digest)
    const sent = [layout.server, other].map(({ requests }) => requests[0]?.headers['x-secret'])
    expect(sent).toEqual(['hunter2', undefined])
  })

  test('credentials of a pod are not sent to a web server', async () => {
    await using layout = await served()
    const keyring = {
      lookup: () => [
        {
          label: 'secret',
          credential: { kind: 'basic', username: 'ada', password: 'pw' } as const,
        },
      ],
    }
    await layout.source.manifest(layout.host, REFERENCE, { ...anonymously(), keyring })
    expect(layout.server.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      undefined,
    ])
  })

  test.each(['../../etc', 'a/../../b', '/etc', 'A/b', 'a//b', 'a/%2e%2e/b'])(
    'the repository "%s" is refused before a path is made of it',
    async (repository) => {
      await using layout = await served()
      const failed = layout.source.resolve(layout.host, { ...REFERENCE, repository }, anonymously())
      await expect(failed).rejects.toMatchObject({ code: 'INVALID' })
      expect(layout.server.requests).toEqual([])
    },
  )
})

describe('a part of a blob', () => {
  const open = async (
    layout: Awaited<ReturnType<typeof served>>,
    part: Partial<HostPart>,
  ): Promise<string> => {
    const { source, host } = layout
    const call = { ...anonymously(), start: 0, end: BLOB.size, ...part }
    const opened = await source.openBlob(host, REFERENCE, BLOB, call)
    if (opened.kind !== 'exchange') return opened.kind
    const chunks = await Array.fromAsync(opened.exchange.answer.body)
    return Buffer.concat(chunks).toString()
  }

  test('is asked for as a range, the whole without one', async () => {
    await using layout = await served()
    expect([await open(layout, {}), await open(layout, { start: 1, end: 3 })]).toEqual([
      'hello',
      'el',
    ])
    expect(layout.server.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=1-2',
    ])
  })

  test('cannot be had from a server without ranges', async () => {
    await using layout = await served()
    await using server = await startStaticFiles({ root: layout.directory.path, ranges: false })
    const plain = { ...layout, host: webHost(server.url) }
    expect(await open(plain, {})).toBe('hello')
    expect(await failureOf(open(plain, { start: 1 }))).toBe(
      `INVALID layout cannot send blob ${BLOB.digest} from byte 1: it answered with the whole`,
    )
  })

  test('of a file that has another length is refused at its head', async () => {
    await using layout = await served()
    await writeFile(layout.blobFile(BLOB.digest), 'hello!')
    expect(await failureOf(open(layout, {}))).toBe(
      `CORRUPT layout sends 6 bytes of blob ${BLOB.digest}; expected 5`,
    )
    expect(await failureOf(open(layout, { start: 2 }))).toBe(
      `INVALID layout cannot send blob ${BLOB.digest} from byte 2: it answered with another range`,
    )
  })

  test('that is missing', async () => {
    await using layout = await served()
    await rm(layout.blobFile(BLOB.digest))
    expect(await failureOf(open(layout, {}))).toBe(`NOT_FOUND layout has no blob ${BLOB.digest}`)
    expect((await readFile(layout.blobFile(BUILT.digest))).equals(BUILT.manifest)).toBe(true)
  })
})
