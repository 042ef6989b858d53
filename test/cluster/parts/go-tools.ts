import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../support/command.ts'
import { buildGo } from '../../support/go-build.ts'

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

/**
 * Builds the programs of a module, or finds what was built of the same versions, and gives their directory.
 *
 * @param log hears when something has to be compiled: Kubernetes takes five minutes on two cores
 * @throws when they do not build, with what the compiler said
 */
export async function buildGoTools(
  module: GoModule,
  log?: (line: string) => void,
): Promise<string> {
  const build = {
    name: module,
    directory: moduleDirectory(module),
    packages: MODULES[module].packages,
    linkerFlags: await linkerFlags(module),
  }
  return buildGo(build, log)
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
