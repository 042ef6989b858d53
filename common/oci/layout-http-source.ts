import { limitHint } from '../limit-hint.ts'
import { checkBlobAnswer, isWhole } from './blob-answer.ts'
import { discardBody, readBody } from './body.ts'
import type { Descriptor } from './descriptor.ts'
import type { HostPart, HostSource } from './host-source.ts'
import type { LayoutHttpHost } from './hosts.ts'
import { type FileRequest, getFile, getFileAgain } from './layout-http-client.ts'
import { parseLayoutIndex } from './layout-index.ts'
import { createLayoutIndexCache } from './layout-index-cache.ts'
import { createLayoutLookup, type LayoutLookup, reading } from './layout-lookup.ts'
import { layoutBlobPath, layoutIndexPath } from './layout-path.ts'
import { checkManifest } from './layout-source.ts'
import { DEFAULT_MANIFEST_LIMITS, MANIFEST_LIMIT_FLAGS } from './manifest.ts'
import type { Exchange } from './redirect.ts'
import type { Reference } from './reference.ts'
import type { Sender, Transport } from './transport.ts'

/** Seven thousand tags, parsed in a tenth of a second: on the main thread, which must answer the kubelet within one. */
const MAX_INDEX_BYTES = 2 * 1024 * 1024

/**
 * Reads artifacts from OCI image layouts that a web server or bucket serves as static files: `<base>/<repository>/index.json` and
 * `<base>/<repository>/blobs/<algorithm>/<hex>`. A tag is an entry of `index.json` annotated `org.opencontainers.image.ref.name`.
 *
 * `index.json` is asked for on each call, by its ETag where it has one: layouts change under their readers.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
export function createLayoutHttpSource({
  transport,
  userAgent = 'oras-csi',
  maxManifestBytes = DEFAULT_MANIFEST_LIMITS.bytes,
}: {
  readonly transport: Transport
  /** Default `oras-csi`. */
  readonly userAgent?: string
  /** Default 4 MiB. */
  readonly maxManifestBytes?: number
}): HostSource<LayoutHttpHost> {
  const indexes = createLayoutIndexCache()
  const { idleTimeoutMs } = transport
  const headers = {
    'user-agent': userAgent,
    // A proxy that compresses would change the bytes that are hashed.
    'accept-encoding': 'identity',
  }

  async function readIndex(host: LayoutHttpHost, reference: Reference, signal: AbortSignal) {
    const path = layoutIndexPath(reference)
    const url = `${host.base}/${path}`
    const known = indexes.get(url)
    const exchange = await getFile(transport, {
      ...{ host, path, signal, what: `repository "${reference.repository}"` },
      headers: { ...headers, ...(known && { 'if-none-match': known.etag }) },
    })
    const { answer, target } = exchange
    if (known !== undefined && answer.status === 304) {
      await answer.body.dump()
      return known.index
    }
    const bytes = await readBody(answer, {
      ...{ url: target.url, maxBytes: MAX_INDEX_BYTES, name: 'index.json', idleTimeoutMs, signal },
    })
    const index = reading(() => parseLayoutIndex(bytes, MAX_INDEX_BYTES))
    indexes.set(url, answer, { index, bytes: bytes.length })
    return index
  }

  async function readManifest(
    host: LayoutHttpHost,
    reference: Reference,
    digest: Descriptor['digest'],
    signal: AbortSignal,
  ) {
    const path = layoutBlobPath(reference, digest)
    const what = `manifest "${digest}"`
    const { answer, target } = await getFile(transport, { host, path, what, headers, signal })
    const bytes = await readBody(answer, {
      ...{ url: target.url, maxBytes: maxManifestBytes, name: 'manifest', idleTimeoutMs, signal },
      hint: limitHint(MANIFEST_LIMIT_FLAGS.bytes),
    })
    checkManifest(bytes, digest)
    return bytes
  }

  const lookupAt = (host: LayoutHttpHost): LayoutLookup =>
    createLayoutLookup({
      readIndex: (reference, signal) => readIndex(host, reference, signal),
      readManifest: (reference, digest, signal) => readManifest(host, reference, digest, signal),
    })

  return {
    resolve: (host, reference, { signal }) => lookupAt(host).resolve(reference, signal),
    async manifest(host, reference, { signal }) {
      return { ...(await lookupAt(host).manifest(reference, signal)), credential: undefined }
    },
    async openBlob(host, reference, descriptor, call) {
      const { start, end, signal } = call
      const request: FileRequest = {
        ...{ host, signal, what: `blob ${descriptor.digest}` },
        path: layoutBlobPath(reference, descriptor.digest),
        headers: {
          ...headers,
          ...(!isWhole(call, descriptor) && { range: `bytes=${start}-${end - 1}` }),
        },
      }
      const exchange = await ask(senderOf(transport, call), request, call.earlier)
      try {
        checkBlobAnswer(exchange, call, descriptor, 'layout')
      } catch (error) {
        discardBody(exchange.answer)
        throw error
      }
      return { kind: 'exchange', exchange }
    },
  }
}

async function ask(
  sender: Sender,
  request: FileRequest,
  earlier: Exchange | undefined,
): Promise<Exchange> {
  return (
    (earlier?.foreign && (await getFileAgain(sender, earlier, request))) || getFile(sender, request)
  )
}

function senderOf(transport: Transport, { connections }: HostPart): Sender {
  if (connections === undefined) return transport
  return { ...transport, send: (http) => connections.send(http, transport.noteReach) }
}
