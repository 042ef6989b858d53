import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { cacheDirectory, cacheKey, exists } from '../../support/cache-directory.ts'
import type { Places } from '../places.ts'
import { type Docker, startDocker } from './docker.ts'

/** Images that are made together, and kept as one archive (`docker save`) in the cache. */
export interface ImageSet {
  readonly name: string
  /** What decides how they come out. */
  readonly key: readonly (string | { readonly file: string })[]
  /** What the archive is to hold, e.g. `busybox:1.35`. */
  readonly images: readonly string[]
  /** Sets whose images these build upon. */
  readonly on: readonly ImageSet[]
  build(docker: Docker): Promise<void>
}

/** Makes image sets, or finds them in the cache. Docker is only started when something has to be made. */
export interface ImageBuilder extends AsyncDisposable {
  /** Gives the path of the set's archive. */
  archiveOf(set: ImageSet): Promise<string>
}

/** Opens a builder. Disposing stops Docker, if it runs. */
export function openImageBuilder(places: Places, log: (line: string) => void): ImageBuilder {
  let docker: Docker | undefined
  const loaded = new Set<string>()
  const running = async (): Promise<Docker> => {
    docker ??= await startDocker(places)
    return docker
  }
  const load = async (set: ImageSet): Promise<void> => {
    const archive = await archiveOf(set)
    if (loaded.has(archive)) return
    await (await running()).run(['load', '--quiet', '--input', archive])
    loaded.add(archive)
  }
  const archiveOf = async (set: ImageSet): Promise<string> => {
    const archive = cacheDirectory('images', `${set.name}-${await keyOf(set)}.tar`)
    if (await exists(archive)) return archive
    const start = performance.now()
    for (const base of set.on) await load(base)
    const tool = await running()
    await set.build(tool)
    await mkdir(dirname(archive), { recursive: true })
    const saving = `${archive}.${randomUUID()}`
    await tool.run(['save', '--output', saving, ...set.images])
    await rename(saving, archive)
    loaded.add(archive)
    await removeOlder(archive, set.name)
    log(`made ${set.images.join(', ')} in ${Math.round((performance.now() - start) / 1000)} s`)
    return archive
  }
  return {
    archiveOf,
    [Symbol.asyncDispose]: async () => {
      await docker?.[Symbol.asyncDispose]()
    },
  }
}

async function keyOf(set: ImageSet): Promise<string> {
  const bases = await Promise.all(set.on.map(keyOf))
  return cacheKey([...set.key, ...set.images, ...bases])
}

/** One archive of each set is enough: they are large. */
async function removeOlder(archive: string, name: string): Promise<void> {
  const directory = dirname(archive)
  for (const other of await readdir(directory)) {
    const same = new RegExp(`^${name}-[0-9a-f]{16}\\.tar$`).test(other)
    if (same && other !== basename(archive)) await rm(`${directory}/${other}`)
  }
}
