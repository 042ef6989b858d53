import { execFile } from 'node:child_process'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { detach } from './mounts.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** A file system of its own, ext4 in a file, that is easily full. Disposing unmounts and removes it. */
export interface SmallFileSystem extends AsyncDisposable {
  /** Where it is mounted; mode 0700. */
  readonly path: string
  file(...names: string[]): string
}

/** Makes and mounts a file system. Needs root, as mounts do: see `whyNoMounts`. */
export async function smallFileSystem(options: {
  readonly bytes: number
  /** How many files it may have; default as many as ext4 thinks fit. */
  readonly inodes?: number
}): Promise<SmallFileSystem> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const image = directory.file('image')
  await writeFile(image, '')
  await truncate(image, options.bytes)
  const inodes = options.inodes === undefined ? [] : ['-N', String(options.inodes)]
  // All of it for everybody: root may not take more than the others.
  await run('mkfs.ext4', '-q', '-m', '0', ...inodes, image)
  const path = directory.file('mounted')
  await run('mkdir', '-m', '0700', path)
  await run('mount', '-o', 'loop', image, path)
  stack.defer(() => detach(path))
  const made = stack.move()
  return {
    path,
    file: (...names) => join(path, ...names),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

async function run(command: string, ...args: string[]): Promise<void> {
  // Debian's PATH for users lacks sbin, where mkfs is.
  await promisify(execFile)(command, args, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } })
}
