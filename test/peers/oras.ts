import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { buildGoProgram } from './go-program.ts'

/** How a registry is reached, or that it is none. */
export interface OrasOptions {
  readonly username?: string
  readonly password?: string
  /** The reference is `DIRECTORY:TAG`. */
  readonly ociLayout?: boolean
  readonly concurrency?: number
  /** Where the command runs: what is pushed is named relative to it, what is pulled is written into it. */
  readonly directory: string
}

/** What the oras CLI does, done by a Go program on its library; every registry is one of plain HTTP. */
export interface Oras {
  /** `oras push REFERENCE FILE[:MEDIA-TYPE]...`; gives the digest of the manifest. */
  push(reference: string, files: readonly string[], options: OrasOptions): Promise<string>
  /** `oras pull --preserve-permissions REFERENCE`; gives the digest of what was named. */
  pull(reference: string, options: OrasOptions): Promise<string>
  /** `oras copy --to-oci-layout REFERENCE DIRECTORY:TAG`; gives the digest of what was copied. */
  copyToLayout(reference: string, layout: string, options: OrasOptions): Promise<string>
}

/** Builds the program if need be. Its calls reject with the message that it printed. */
export async function openOras(): Promise<Oras> {
  const program = await buildGoProgram('oras-go')
  const run = async (
    args: readonly string[],
    operands: readonly string[],
    options: OrasOptions,
  ): Promise<string> => {
    const { username, password, ociLayout = false, concurrency, directory } = options
    const flags = [
      ociLayout ? '--oci-layout' : '--plain-http',
      ...(concurrency === undefined ? [] : ['--concurrency', String(concurrency)]),
      ...(username === undefined ? [] : ['--username', username]),
      ...(password === undefined ? [] : ['--password', password]),
    ]
    const { stdout } = await promisify(execFile)(program, [...args, ...flags, ...operands], {
      cwd: directory,
    })
    return stdout.trim()
  }
  return {
    push: (reference, files, options) => run(['push'], [reference, ...files], options),
    pull: (reference, options) => run(['pull', '--preserve-permissions'], [reference], options),
    copyToLayout: (reference, layout, options) => run(['copy'], [reference, layout], options),
  }
}
