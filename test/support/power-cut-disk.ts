import { execFile } from 'node:child_process'
import { mkdir, open, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { detach } from './mounts.ts'
import type { TemporaryDirectory } from './temporary-directory.ts'

/** An ext4 file system in a file, whose power can be cut. Disposing unmounts it. */
export interface PowerCutDisk extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string

  /**
   * Leaves on the disk what has been written to it until now, and nothing of what the kernel has still only in memory; then mounts it again, as a node does
   * that boots. Nothing may have a file of it open.
   *
   * @param saved files whose content happens to be written before: the kernel writes in the order it likes. With them the journal is, and so
   * every change of names and sizes
   */
  cutPower(saved: readonly string[]): Promise<void>
}

const SIZE_BYTES = 48 * 1024 * 1024

/** @param options of ext4, e.g. `data=writeback` */
export async function mountPowerCutDisk(
  directory: TemporaryDirectory,
  options: string,
): Promise<PowerCutDisk> {
  const path = directory.file('disk')
  const run = promisify(execFile)
  let serial = 0
  const image = () => directory.file(`disk-${serial}.img`)
  const mount = () => run('mount', ['-t', 'ext4', '-o', `loop,${options}`, image(), path])
  await writeFile(image(), '')
  await truncate(image(), SIZE_BYTES)
  await run('mkfs.ext4', ['-q', '-F', image()])
  await mkdir(path)
  await mount()
  return {
    path,
    async cutPower(saved) {
      for (const file of saved) {
        await using handle = await open(file)
        await handle.sync()
      }
      const before = image()
      serial += 1
      await run('cp', ['--sparse=always', before, image()])
      await detach(path)
      await rm(before)
      await mount()
    },
    [Symbol.asyncDispose]: () => detach(path),
  }
}

/** Every file below a directory with this name. */
export async function filesNamed(directory: string, name: RegExp): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}
