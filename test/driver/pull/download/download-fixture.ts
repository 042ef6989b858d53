import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { ANONYMOUS, type Keyring } from '../../../../common/oci/credentials.ts'
import type { Descriptor } from '../../../../common/oci/descriptor.ts'
import { createHosts } from '../../../../common/oci/hosts.ts'
import type { Proxies } from '../../../../common/oci/proxy.ts'
import { createRegistrySource } from '../../../../common/oci/registry-source.ts'
import { type BlobPuller, createBlobPuller } from '../../../../driver/pull/blob-puller.ts'
import { createDownloadSpace } from '../../../../driver/pull/download/download-space.ts'
import {
  type ConnectionLimits,
  createDownloadThreads,
  type DownloadThreads,
} from '../../../../driver/pull/download/download-threads.ts'
import type { Store } from '../../../../driver/store/store.ts'
import { createCertificateAuthority } from '../../../support/certificates.ts'
import {
  type Content,
  digestOfContent,
  generatedContent,
} from '../../../support/registry/content.ts'
import type { LoggedRequest } from '../../../support/registry/request-log.ts'
import {
  type RegistryOptions,
  startRegistry,
  type TestRegistry,
} from '../../../support/registry.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { openTestStore } from '../../store/open-test-store.ts'

export const REPOSITORY = 'acme/app'
export const BLOBS = { method: 'GET', path: '/v2/*/blobs/*' } as const
export const MEBIBYTE = 1024 * 1024

/** Bytes that are no multiple of anything, and their descriptor. */
export function blobOf(size: number): {
  readonly content: Content
  readonly descriptor: Descriptor
} {
  const content = generatedContent(size)
  const digest = digestOfContent(content)
  return {
    content,
    descriptor: { mediaType: 'application/octet-stream', digest, size, annotations: {} },
  }
}

/** One blob of 5 MiB. */
export const { content: CONTENT, descriptor: BLOB } = blobOf(5 * MEBIBYTE + 3)

/** A registry with a blob, and what downloads it to a store in threads. */
export interface Downloads extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly store: Store
  readonly threads: DownloadThreads
  readonly blobs: BlobPuller
  /** What the source waited between tries; it does not really wait. */
  readonly waits: readonly number[]
  readonly origin: string
  readonly subject: string
  ensure(options?: { readonly signal?: AbortSignal; readonly keyring?: Keyring }): Promise<void>
  /** The GET requests for blobs. */
  gets(): readonly LoggedRequest[]
  ingest(): Promise<readonly string[]>
}

export async function startDownloads(
  options: {
    readonly registry?: RegistryOptions
    readonly tls?: boolean
    /** Files in the registry's host directory, e.g. its hosts.toml. */
    readonly hostFiles?: (registry: TestRegistry) => Readonly<Record<string, string>>
    readonly proxies?: Proxies
    readonly blob?: ReturnType<typeof blobOf>
    readonly connections?: Partial<ConnectionLimits>
    readonly idleTimeoutMs?: number
    readonly restMs?: number
    readonly execArgv?: readonly string[]
    readonly storeDirectory?: string
    /** Shorter than a test. */
    readonly lingerMs?: number
  } = {},
): Promise<Downloads> {
  await using stack = new AsyncDisposableStack()
  const { blob = { content: CONTENT, descriptor: BLOB }, idleTimeoutMs, restMs, execArgv } = options
  const directory = stack.use(await temporaryDirectory())
  const authority = options.tls === true ? await createCertificateAuthority() : undefined
  const registry = stack.use(
    await startRegistry({
      ...options.registry,
      ...(authority && { tls: await authority.issue({ names: ['127.0.0.1'] }) }),
    }),
  )
  if (authority !== undefined) {
    await mkdir(directory.file('hosts', registry.host), { recursive: true })
    await writeFile(directory.file('hosts', registry.host, 'ca.crt'), authority.cert)
    await writeFile(directory.file('hosts', registry.host, 'hosts.toml'), 'ca = "ca.crt"')
  }
  if (options.hostFiles !== undefined) {
    await mkdir(directory.file('hosts', registry.host), { recursive: true })
    for (const [name, text] of Object.entries(options.hostFiles(registry))) {
      await writeFile(directory.file('hosts', registry.host, name), text)
    }
  }
  registry.addBlob(REPOSITORY, blob.content)
  const store = stack.use(await openTestStore(options.storeDirectory ?? directory.file('store')))
  const waits: number[] = []
  const source = stack.use(
    createRegistrySource({
      hosts: createHosts({ directory: directory.file('hosts'), plainHttpLoopback: true }),
      ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
      ...(options.proxies && { proxies: options.proxies }),
      retry: {
        random: () => 1,
        sleep: async (ms) => {
          waits.push(ms)
        },
      },
    }),
  )
  const threads = stack.use(
    createDownloadThreads({
      source,
      size: 1,
      // One, unless a test is about several: how many there are depends on time.
      connections: { perBlob: 1, perRegistry: 16, total: 32, ...options.connections },
      ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
      ...(restMs !== undefined && { restMs }),
      retryBaseMs: 20,
      ...(execArgv !== undefined && { execArgv }),
    }),
  )
  const blobs = stack.use(
    createBlobPuller({
      ...{ store, source, downloadThreads: threads, maxDownloads: 4 },
      space: createDownloadSpace(store.directory, { minFreeBytes: 0, minFreeInodes: 0 }),
      lingerMs: options.lingerMs ?? 1,
    }),
  )
  const origin = `${registry.host}/${REPOSITORY}`
  const owned = stack.move()
  return {
    ...{ registry, store, threads, blobs, waits, origin },
    subject: `Cannot pull "${registry.host}/${REPOSITORY}:v1"`,
    ensure: ({ signal = new AbortController().signal, keyring = ANONYMOUS } = {}) =>
      blobs.ensure(blob.descriptor, origin, {
        reference: { registry: registry.host, repository: REPOSITORY, tag: 'v1' },
        ...{ keyring, signal },
      }),
    gets: () =>
      registry.requests.filter(({ method, path }) => method === 'GET' && /\/blobs\//.test(path)),
    ingest: () => readdir(store.ingestDirectory),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** The whole of generated content. */
export function bytesOf(content: Content): Uint8Array {
  return content.slice(0, content.size)
}

/** What a registry sent of bodies, in bytes. */
export function bytesSent(requests: readonly LoggedRequest[]): number {
  return requests.reduce((sum, request) => sum + request.bytesSent, 0)
}
