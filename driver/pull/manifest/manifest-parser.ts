import { Worker } from 'node:worker_threads'
import pLimit from 'p-limit'
import { CodedError, messageOf } from '../../../common/errors.ts'
import {
  type ImageIndex,
  type ImageManifest,
  type ManifestLimits,
  parseManifest,
} from '../../../common/oci/manifest.ts'
import type { ManifestReply, ManifestWorkerData } from './manifest-message.ts'

/** Reads a manifest or index. @throws as `parseManifest`; UNAVAILABLE when the thread died that did it */
export type ManifestParser = (bytes: Uint8Array) => Promise<ImageManifest | ImageIndex>

/** Parsed in 20 to 40 ms the first time; 4 MiB take a quarter of a second, in which no call would be answered. */
const INLINE_BYTES = 256 * 1024

/** 4 MiB of the smallest values there are take a quarter of this. */
const MAX_HEAP_MIB = 256
/** What a thread lets pile up before it looks for garbage; V8's own 16 to 32 MiB, times the threads, would be most of the driver's memory. */
const YOUNG_HEAP_MIB = 4

/**
 * Makes the parser of a driver: manifests of an ordinary size are parsed at once, big ones in a thread of their own, one at a time: there
 * are few, and a hostile pod may ask for many.
 */
export function createManifestParser(
  limits: ManifestLimits,
  inlineBytes = INLINE_BYTES,
): ManifestParser {
  const turns = pLimit(1)
  return async (bytes) =>
    bytes.length <= inlineBytes
      ? parseManifest(bytes, limits)
      : turns(() => parseInThread({ bytes, limits }))
}

async function parseInThread(data: ManifestWorkerData): Promise<ImageManifest | ImageIndex> {
  const worker = new Worker(new URL('./manifest-worker.ts', import.meta.url), {
    name: 'oras-csi manifest',
    execArgv: [],
    workerData: data,
    resourceLimits: {
      maxOldGenerationSizeMb: MAX_HEAP_MIB,
      maxYoungGenerationSizeMb: YOUNG_HEAP_MIB,
    },
  })
  const reply = await new Promise<ManifestReply>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`exit code ${code}`)))
  }).catch((cause: unknown) => {
    throw new CodedError(
      'UNAVAILABLE',
      `The thread that read the manifest of ${data.bytes.length} bytes ended unexpectedly (${messageOf(cause)})`,
      { cause },
    )
  })
  if (reply.kind === 'failed') throw new CodedError(reply.code, reply.message)
  return withBareAnnotations(reply.manifest)
}

/** An object that crossed from a thread has a prototype, and with it names like `constructor`. */
function withBareAnnotations(manifest: ImageManifest | ImageIndex): ImageManifest | ImageIndex {
  const descriptors =
    manifest.kind === 'index'
      ? manifest.manifests
      : [...manifest.layers, ...(manifest.config === undefined ? [] : [manifest.config])]
  for (const { annotations } of [manifest, ...descriptors]) Object.setPrototypeOf(annotations, null)
  return manifest
}
