import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { access, mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The Go modules beside this file, and the package of each that is a program. */
const PACKAGES = {
  'oras-go': '.',
  'csi-sanity': 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
} as const

/** A module beside this file. */
export type GoModule = keyof typeof PACKAGES

/**
 * Builds the program of a Go module, or finds the one that was built of the same sources and versions, and gives its path. It is kept
 * in the user's cache directory, which `XDG_CACHE_HOME` names.
 *
 * @throws when it does not build, with what the compiler said
 */
export async function buildGoProgram(module: GoModule): Promise<string> {
  const directory = new URL(module, import.meta.url).pathname
  const cache = join(cacheDirectory(), 'oras-csi', `${module}-${await versionOf(directory)}`)
  const program = join(cache, module)
  if (await exists(program)) return program
  await mkdir(cache, { recursive: true })
  // Under another name until it is complete: two suites may build at once.
  const building = join(cache, randomUUID())
  await promisify(execFile)('go', ['build', '-o', building, PACKAGES[module]], { cwd: directory })
  await rename(building, program)
  return program
}

/** A hash over everything that decides what is built, but for the compiler. */
async function versionOf(directory: string): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(directory)).sort()) {
    if (!/\.(?:go|mod|sum)$/.test(name)) continue
    hash.update(`${name}\0`).update(await readFile(join(directory, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

function cacheDirectory(): string {
  // biome-ignore lint/style/noProcessEnv: the user's cache directory is the environment's to name
  return process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
