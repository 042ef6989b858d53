import { execFile } from 'node:child_process'
import { dirname } from 'node:path'

/**
 * Runs a command as a container runtime would let it see a volume: in a mount namespace of its own, with the published directory
 * bound to the mount path. The rest of the file system stands for the base image.
 *
 * @returns what it wrote, and whether it ended with exit code 0
 */
export function runInContainer(
  volume: string,
  mountPath: string,
  command: readonly string[],
): Promise<{ readonly output: string; readonly ok: boolean }> {
  // A tmpfs over the parent, since the mount path need not exist on this machine.
  const script = `set -e
    mount -t tmpfs container "$2"
    mkdir "$3"
    mount --bind "$1" "$3"
    shift 3
    exec "$@"`
  const args = ['-c', script, 'container', volume, dirname(mountPath), mountPath, ...command]
  return new Promise((resolve) => {
    execFile('unshare', ['--mount', 'sh', ...args], (error, stdout, stderr) =>
      resolve({ output: stdout + stderr, ok: error === null }),
    )
  })
}
