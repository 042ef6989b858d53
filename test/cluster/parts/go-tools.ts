import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../command.ts'
import { cacheDirectory, cacheKey, exists } from './cache-directory.ts'

const KUBERNETES = {
  packages: 'tool',
  version: 'k8s.io/kubernetes',
  linkInto: 'k8s.io/component-base/version',
} as const

/** The Go modules below `modules/`: what is built of each, what it is a version of, and where the linker puts that version. */
const MODULES = {
  'kubernetes-1.36': KUBERNETES,
  'kubernetes-1.34': KUBERNETES,
  'cert-manager': {
    packages: 'tool',
    version: 'github.com/cert-manager/cert-manager',
    linkInto: undefined,
  },
  cainjector: {
    packages: '.',
    version: 'github.com/cert-manager/cert-manager',
    linkInto: undefined,
  },
} as const satisfies Record<
  string,
  { packages: string; version: string; linkInto: string | undefined }
>

/** One of them. */
export type GoModule = keyof typeof MODULES

// Four minutes on two free cores; these may be busy.
const BUILD_TIMEOUT_MS = 40 * 60_000

/**
 * Builds the programs of a module, or finds what was built of the same versions, and gives their directory.
 *
 * @throws when they do not build, with what the compiler said
 */
export async function buildGoTools(module: GoModule): Promise<string> {
  const source = moduleDirectory(module)
  const files = (await readdir(source)).sort()
  const key = await cacheKey(files.map((file) => ({ file: join(source, file) })))
  const built = cacheDirectory('bin', `${module}-${key}`)
  if (await exists(built)) return built
  // Under another name until it is complete: two runs may build at once.
  const building = `${built}.${randomUUID()}`
  await mkdir(building, { recursive: true })
  const flags = ['-buildvcs=false', '-trimpath', '-ldflags', await linkerFlags(module)]
  // Last in the queue for a processor: whoever builds goes on working.
  await run(
    'nice',
    ['-n', '19', 'go', 'build', ...flags, '-o', `${building}/`, MODULES[module].packages],
    {
      cwd: source,
      timeoutMs: BUILD_TIMEOUT_MS,
    },
  )
  await rename(building, built).catch(async (error: unknown) => {
    await rm(building, { recursive: true, force: true })
    if (!(await exists(built))) throw error
  })
  return built
}

/** The version of a module's main requirement, e.g. `v1.36.3`. */
export async function versionOfModule(module: GoModule): Promise<string> {
  const { version: path } = MODULES[module]
  const text = await readFile(join(moduleDirectory(module), 'go.mod'), 'utf8')
  const version = new RegExp(`${path.replaceAll('.', '\\.')} (v\\S+)`).exec(text)?.[1]
  if (version === undefined) throw new Error(`Cannot find ${path} in the go.mod of ${module}`)
  return version
}

/** The sources of a module's main requirement, downloaded if need be. */
export async function sourceOfModule(module: GoModule): Promise<string> {
  const named = `${MODULES[module].version}@${await versionOfModule(module)}`
  const answer = await run('go', ['mod', 'download', '-json', named], {
    cwd: moduleDirectory(module),
  })
  const { Dir: directory }: { Dir: string } = JSON.parse(answer)
  return directory
}

/** Without symbols, which are half of the size; with the version, which Kubernetes' own build script also passes. */
async function linkerFlags(module: GoModule): Promise<string> {
  const { linkInto } = MODULES[module]
  if (linkInto === undefined) return '-s -w'
  const version = await versionOfModule(module)
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? []
  const values = { gitVersion: version, gitMajor: major, gitMinor: minor }
  return ['-s -w', ...Object.entries(values).map(([k, v]) => `-X ${linkInto}.${k}=${v}`)].join(' ')
}

function moduleDirectory(module: GoModule): string {
  return new URL(`../modules/${module}`, import.meta.url).pathname
}
