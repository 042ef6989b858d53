import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { isSystemError } from '../../common/errors.ts'
import type { Platform } from '../../common/oci/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../../common/oci/digest.ts'
import {
  DOCKER_IMAGE_CONFIG,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_EMPTY,
  OCI_IMAGE_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../common/oci/media-types.ts'
import { contentOf } from './registry/content.ts'
import { openRegistryClient, type PushOptions } from './registry/push-client.ts'
import type { TestRegistry } from './registry.ts'
import { type TarEntry, tarOf } from './tar.ts'

/** A manifest or index that was made, with everything it names that was made with it. Nothing is pushed yet. */
export interface Built {
  /** The bytes that hash to `digest`. */
  readonly manifest: Buffer
  readonly mediaType: string
  readonly digest: Digest
  /** Config and layers. */
  readonly blobs: ReadonlyMap<Digest, Buffer>
  /** The manifests of an index. */
  readonly children: readonly Built[]
  /** Of an image. */
  readonly platform?: Platform
  /** Of an artifact. */
  readonly artifactType?: string
}

interface LayerNames {
  /** Default `application/vnd.oci.image.layer.v1.tar`, as `oras push` says of a file without a type. */
  readonly mediaType?: string
  /** Becomes `org.opencontainers.image.title`. */
  readonly title?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** A layer with its content, or only with what its descriptor is to claim: a blob put into the registry by other means, or an attack. */
export type Layer = LayerNames &
  (
    | { readonly content: Uint8Array | string }
    | { readonly digest: string; readonly size: number; readonly content?: undefined }
  )

const EMPTY = Buffer.from('{}')
const TITLE = 'org.opencontainers.image.title'
// Fixed, so that equal input gives equal digests.
const CREATED = '2026-01-01T00:00:00Z'

/**
 * Makes an artifact as `oras push` writes it: an OCI 1.1 manifest with an artifact type and the empty config.
 *
 * @example artifact({ layers: [{ title: 'hello.txt', content: 'hello' }] })
 */
export function artifact(options: {
  readonly layers: readonly Layer[]
  readonly config?: { readonly mediaType: string; readonly content: Uint8Array | string }
  /** Default `application/vnd.unknown.artifact.v1`, or none when there is a config. */
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}): Built {
  const { config } = options
  const artifactType =
    options.artifactType ??
    (config === undefined ? 'application/vnd.unknown.artifact.v1' : undefined)
  // The specification wants at least one layer: oras names the empty blob.
  const layers: readonly Layer[] =
    options.layers.length > 0 ? options.layers : [{ content: EMPTY, mediaType: OCI_EMPTY }]
  const blobs = [config?.content ?? EMPTY, ...layers.flatMap((layer) => layer.content ?? [])]
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    ...(artifactType !== undefined && { artifactType }),
    config:
      config === undefined
        ? { ...describe(OCI_EMPTY, EMPTY), data: EMPTY.toString('base64') }
        : describe(config.mediaType, config.content),
    layers: layers.map(describeLayer),
    annotations: { 'org.opencontainers.image.created': CREATED, ...options.annotations },
  }
  return {
    ...manifestOf(manifest, OCI_MANIFEST, blobs),
    ...(artifactType !== undefined && { artifactType }),
  }
}

/**
 * Makes the layer that `oras push` makes of a directory: a tar of the directory itself and of `entries`, whose paths are
 * relative to it, compressed, with the annotations that say so.
 *
 * @example directoryLayer('site', [{ path: 'index.html', content: '<p>' }])
 */
export function directoryLayer(
  title: string,
  entries: readonly (TarEntry & { readonly path: string })[],
): { content: Buffer; mediaType: string; title: string; annotations: Record<string, string> } {
  const tar = tarOf([
    { path: title, type: 'directory' },
    ...entries.map((entry) => ({ ...entry, path: `${title}/${entry.path}` })),
  ])
  return {
    content: gzipSync(tar),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    title,
    annotations: {
      'io.deis.oras.content.digest': digestOf(tar),
      'io.deis.oras.content.unpack': 'true',
    },
  }
}

/** Makes a container image of tar archives: a manifest with an image config and untitled layers. */
export function image(options: {
  /** Uncompressed tars, the lowest first. */
  readonly layers: readonly Buffer[]
  /** Default `gzip`. */
  readonly compression?: 'gzip' | 'zstd' | 'none'
  /** Default linux/amd64. */
  readonly platform?: Platform
  /** Whose media types are used; default `oci`. Docker knows no zstd. */
  readonly flavour?: 'oci' | 'docker'
  readonly annotations?: Readonly<Record<string, string>>
}): Built {
  const { compression = 'gzip', platform = { os: 'linux', architecture: 'amd64' } } = options
  const types = (options.flavour ?? 'oci') === 'oci' ? OCI_IMAGE : DOCKER_IMAGE
  const layers = options.layers.map(COMPRESS[compression])
  const config = Buffer.from(
    JSON.stringify({
      created: CREATED,
      ...platform,
      config: {},
      rootfs: { type: 'layers', diff_ids: options.layers.map((layer) => digestOf(layer)) },
    }),
  )
  const manifest = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe(types.config, config),
    layers: layers.map((layer) => describe(types.layer[compression], layer)),
    ...(options.annotations !== undefined && { annotations: options.annotations }),
  }
  return { ...manifestOf(manifest, types.manifest, [config, ...layers]), platform }
}

/** Makes an image index of manifests; an image's own platform is named unless `platform` replaces it. */
export function index(
  children: readonly (
    | Built
    | {
        readonly built: Built
        readonly platform?: Platform
        readonly annotations?: Readonly<Record<string, string>>
      }
  )[],
  options: {
    readonly flavour?: 'oci' | 'docker'
    readonly annotations?: Readonly<Record<string, string>>
  } = {},
): Built {
  const mediaType = options.flavour === 'docker' ? DOCKER_MANIFEST_LIST : OCI_INDEX
  const entries = children.map((child) => ('built' in child ? child : { built: child }))
  const value = {
    schemaVersion: 2,
    mediaType,
    manifests: entries.map(({ built, ...entry }) => ({
      mediaType: built.mediaType,
      digest: built.digest,
      size: built.manifest.length,
      ...(built.artifactType !== undefined && { artifactType: built.artifactType }),
      ...(built.platform !== undefined && { platform: built.platform }),
      ...entry,
    })),
    ...(options.annotations !== undefined && { annotations: options.annotations }),
  }
  return { ...manifestOf(value, mediaType, []), children: entries.map(({ built }) => built) }
}

/** Makes a manifest of anything: a value is written as JSON, bytes stay as they are. For legacy types and attacks. */
export function manifestOf(
  value: unknown,
  mediaType: string = OCI_MANIFEST,
  blobs: readonly (Uint8Array | string)[] = [],
): Built {
  const manifest = value instanceof Uint8Array ? Buffer.from(value) : jsonOf(value)
  return {
    manifest,
    mediaType,
    digest: digestOf(manifest),
    blobs: new Map(blobs.map((blob) => [digestOf(blob), Buffer.from(blob)])),
    children: [],
  }
}

/** Writes the descriptor of content. */
export function describe(mediaType: string, content: Uint8Array | string) {
  return { mediaType, digest: digestOf(content), size: Buffer.byteLength(content) }
}

/** Pushes over HTTP to `repository:tag`, blobs first, those that are there already not again. */
export async function push(
  registryUrl: string,
  name: string,
  built: Built,
  options: PushOptions = {},
): Promise<void> {
  const [repository, tag] = splitName(name)
  await using client = openRegistryClient(registryUrl, repository, options)
  await pushManifest(client, tag, built)
}

/** Puts what was made straight into a registry of this process, at `repository:tag`. */
export function load(registry: TestRegistry, name: string, built: Built): void {
  const [repository, tag] = splitName(name)
  for (const blob of built.blobs.values()) registry.addBlob(repository, contentOf(blob))
  for (const child of built.children) load(registry, `${repository}:${child.digest}`, child)
  registry.addManifest(repository, tag, built.mediaType, built.manifest)
}

/**
 * Writes into an OCI layout directory, which is made when absent, and points a tag to it.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
export async function writeLayout(directory: string, tag: string, built: Built): Promise<void> {
  await writeLayoutBlobs(directory, built)
  await writeFile(join(directory, 'oci-layout'), jsonOf({ imageLayoutVersion: '1.0.0' }))
  const indexFile = join(directory, 'index.json')
  const others = (await readIndexEntries(indexFile)).filter(
    (entry) => entry.annotations?.[REF_NAME] !== tag,
  )
  const entry = {
    ...describe(built.mediaType, built.manifest),
    ...(built.artifactType !== undefined && { artifactType: built.artifactType }),
    ...(built.platform !== undefined && { platform: built.platform }),
    annotations: { [REF_NAME]: tag },
  }
  await writeFile(
    indexFile,
    jsonOf({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...others, entry] }),
  )
}

const REF_NAME = 'org.opencontainers.image.ref.name'

const COMPRESS = {
  gzip: (bytes: Buffer) => gzipSync(bytes),
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
  none: (bytes: Buffer) => bytes,
}

const OCI_IMAGE = {
  manifest: OCI_MANIFEST,
  config: OCI_IMAGE_CONFIG,
  layer: {
    gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
    zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
    none: 'application/vnd.oci.image.layer.v1.tar',
  },
}

const DOCKER_IMAGE = {
  manifest: DOCKER_MANIFEST,
  config: DOCKER_IMAGE_CONFIG,
  layer: {
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    zstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
    none: 'application/vnd.docker.image.rootfs.diff.tar',
  },
}

function describeLayer(layer: Layer) {
  const mediaType = layer.mediaType ?? 'application/vnd.oci.image.layer.v1.tar'
  const annotations = {
    ...layer.annotations,
    ...(layer.title !== undefined && { [TITLE]: layer.title }),
  }
  return {
    ...(layer.content === undefined
      ? { mediaType, digest: layer.digest, size: layer.size }
      : describe(mediaType, layer.content)),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  }
}

async function pushManifest(
  client: ReturnType<typeof openRegistryClient>,
  reference: string,
  built: Built,
): Promise<void> {
  for (const [digest, blob] of built.blobs) await client.putBlob(digest, blob)
  for (const child of built.children) await pushManifest(client, child.digest, child)
  await client.putManifest(reference, built.mediaType, built.manifest)
}

async function writeLayoutBlobs(directory: string, built: Built): Promise<void> {
  for (const [digest, bytes] of [...built.blobs, [built.digest, built.manifest] as const]) {
    const file = join(directory, 'blobs', digestAlgorithm(digest), digestHex(digest))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, bytes)
  }
  for (const child of built.children) await writeLayoutBlobs(directory, child)
}

async function readIndexEntries(file: string): Promise<{ annotations?: Record<string, string> }[]> {
  try {
    return JSON.parse(await readFile(file, 'utf8')).manifests
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return []
    throw error
  }
}

/** Splits at the first colon, so that `app:sha256:ab…` has a digest for a tag. */
function splitName(name: string): [repository: string, reference: string] {
  const at = name.indexOf(':')
  if (at < 0) throw new Error(`Expected "repository:tag", found "${name}"`)
  return [name.slice(0, at), name.slice(at + 1)]
}

function jsonOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
