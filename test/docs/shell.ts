import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { type CommandResult, runToEnd } from '../support/command.ts'
import type { TemporaryDirectory } from '../support/temporary-directory.ts'

/** Runs what a page tells a reader to type. */
export interface Shell {
  /** Where the reader is: an empty directory at first. */
  readonly cwd: string
  /** Runs a block as bash does, up to the first command that fails. */
  type(script: string, options?: { readonly accept?: readonly number[] }): Promise<CommandResult>
}

/** Makes an `oras-csi` that is this checkout's, and what else the reader has on the search path. */
export async function openShell(
  directory: TemporaryDirectory,
  {
    programs = {},
    env = {},
    timeoutMs = 120_000,
  }: {
    /** Bodies of shell scripts by the name of the command. */
    readonly programs?: Readonly<Record<string, string>>
    readonly env?: Readonly<Record<string, string>>
    readonly timeoutMs?: number
  } = {},
): Promise<Shell> {
  const bin = directory.file('bin')
  const cwd = directory.file('home')
  await mkdir(bin)
  await mkdir(cwd)
  const all = {
    'oras-csi': `exec ${quoted(process.execPath)} ${quoted(`${CHECKOUT}cli/main.ts`)} "$@"`,
    ...programs,
  }
  for (const [name, body] of Object.entries(all)) {
    await writeFile(`${bin}/${name}`, `#!/bin/bash\n${body}\n`)
    await chmod(`${bin}/${name}`, 0o755)
  }
  // biome-ignore lint/style/noProcessEnv: a person's search path, with our commands before it
  const path = `${bin}:${process.env['PATH']}`
  return {
    cwd,
    type: (script, { accept = [0] } = {}) =>
      runToEnd('bash', ['-eu', '-o', 'pipefail', '-c', script], {
        cwd,
        env: { HOME: cwd, ...env, PATH: path },
        timeoutMs,
        accept,
      }),
  }
}

/** A word of a shell script. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/**
 * The `oras` of a reader, by the program that does the same on its library: a registry of the tests speaks plain HTTP, and where `oras copy` goes
 * the program knows.
 */
export function orasScript(program: string): string {
  return `command=$1; shift
args=(); for arg in "$@"; do [ "$arg" = --to-oci-layout ] || args+=("$arg"); done
exec ${quoted(program)} "$command" --plain-http "\${args[@]}"`
}
