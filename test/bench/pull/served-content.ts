import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { OCI_MANIFEST } from '../../../common/oci/media-types.ts'
import { DOCKER_REGISTRY, startDockerRegistry } from '../../peers/docker-registry.ts'
import { openOras } from '../../peers/oras.ts'
import { whyNoProgram } from '../../support/skip-unless.ts'
import type { Ground } from '../ground.ts'
import type { Content } from './content.ts'
import { drain } from './drain.ts'
import { writeRandomFile, writeSmallFiles } from './random-files.ts'

/** A content in a registry that is not ours, in the page cache. Disposing ends the registry and removes what it stored. */
export interface ServedContent extends AsyncDisposable {
  /** e.g. `127.0.0.1:40123` */
  readonly host: string
  /** `REPOSITORY:TAG` of the content: a host and a slash before it make the reference. */
  readonly name: string
  /** Something small of all kinds, for a driver to begin with. */
  readonly warmUpName: string
  readonly blobs: readonly ServedBlob[]
  /** How often the registry says that it was asked for a blob. */
  timesAsked(blob: ServedBlob): number
}

export interface ServedBlob {
  readonly size: number
  /** Below the host, e.g. `/v2/bench/blobs/sha256:...`. */
  readonly path: string
}

const REPOSITORY = 'bench/content'
const WARM_UP_BLOB_BYTES = 16 * 2 ** 20
const WARM_UP_FILES = 200

/** Makes a content anew and pushes it into a docker-registry whose data is on the ground's disk. */
export async function serveContent(content: Content, ground: Ground): Promise<ServedContent> {
  const why = await whyNoProgram('go', DOCKER_REGISTRY, 'curl')
  if (why !== undefined) throw new Error(`Cannot measure pulls: ${why}`)
  await using stack = new AsyncDisposableStack()
  const storage = stack.use(await ground.fresh('registry'))
  const { host, url, output } = stack.use(await startDockerRegistry({ storage: storage.path }))
  const oras = await openOras()
  const push = async (name: string, make: (directory: string) => Promise<readonly string[]>) => {
    await using source = await ground.fresh('source')
    const files = await make(source.path)
    await oras.push(`${host}/${name}`, files, { directory: source.path })
  }
  const warmUpName = `${REPOSITORY}:warm-up`
  const name = `${REPOSITORY}:v1`
  await push(warmUpName, makeWarmUp)
  await push(name, content.make)

  const blobs = await readBlobs(url)
  for (const { path, size } of blobs) await drain(host, path, size)
  const running = stack.move()
  return {
    ...{ host, name, warmUpName, blobs },
    timesAsked: ({ path }) => output().split(`"GET ${path} HTTP/`).length - 1,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

async function makeWarmUp(directory: string): Promise<readonly string[]> {
  await writeRandomFile(join(directory, 'large.bin'), WARM_UP_BLOB_BYTES)
  await writeRandomFile(join(directory, 'small.bin'), 1)
  await mkdir(join(directory, 'many'))
  await writeSmallFiles(join(directory, 'many'), WARM_UP_FILES)
  return ['large.bin', 'small.bin', 'many']
}

async function readBlobs(url: string): Promise<ServedBlob[]> {
  const answer = await fetch(`${url}/v2/${REPOSITORY}/manifests/v1`, {
    headers: { Accept: OCI_MANIFEST },
  })
  const { layers } = (await answer.json()) as { layers: { digest: string; size: number }[] }
  return layers.map(({ digest, size }) => ({
    size,
    path: `/v2/${REPOSITORY}/blobs/${digest}`,
  }))
}
