import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory, cacheKey, exists } from './cache-directory.ts'
import { run } from './command.ts'

/** What is built of a Go module. */
export interface GoBuild {
  /** Names it in the cache, e.g. `csi-sanity`. */
  readonly name: string
  /** The directory with its go.mod. */
  readonly directory: string
  /** What `go build` is asked for: a package, or `tool` for those that go.mod names as tools. */
  readonly packages: string
  /** Given to the linker, e.g. `-s -w`. */
  readonly linkerFlags?: string
}

// Kubernetes takes five minutes on two free cores; these may be busy.
const BUILD_TIMEOUT_MS = 40 * 60_000

/**
 * Builds the programs of a Go module, or finds what was built of the same sources and versions, and gives the directory they are in.
 * It is kept in the user's cache directory.
 *
 * @param log hears when something has to be compiled: that may take minutes
 * @throws when they do not build, with what the compiler said
 */
export async function buildGo(
  build: GoBuild,
  log: (line: string) => void = () => {},
): Promise<string> {
  const built = cacheDirectory('bin', `${build.name}-${await keyOf(build)}`)
  if (await exists(built)) return built
  log(`compiling ${build.name}, once`)
  // Under another name until it is complete: two runs may build at once.
  const building = `${built}.${randomUUID()}`
  await mkdir(building, { recursive: true })
  try {
    await compile(build, building)
    await rename(building, built).catch(async (error: unknown) => {
      if (!(await exists(built))) throw error
    })
  } finally {
    await rm(building, { recursive: true, force: true })
  }
  return built
}

async function compile(build: GoBuild, into: string): Promise<void> {
  const flags = ['-buildvcs=false', '-trimpath', `-ldflags=${build.linkerFlags ?? ''}`]
  const command = ['go', 'build', ...flags, '-o', `${into}/`, build.packages]
  // Last in the queue for a processor: whoever builds goes on working.
  await run('nice', ['-n', '19', ...command], {
    cwd: build.directory,
    timeoutMs: BUILD_TIMEOUT_MS,
  })
}

/** Over everything that decides what is built, but for the compiler. */
async function keyOf(build: GoBuild): Promise<string> {
  const names = (await readdir(build.directory)).filter((name) => /\.(?:go|mod|sum)$/.test(name))
  const files = names.sort().flatMap((name) => [name, { file: join(build.directory, name) }])
  return cacheKey([build.packages, build.linkerFlags ?? '', ...files])
}
