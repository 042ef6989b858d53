import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rmdir } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

/** One line of mountinfo. @see proc_pid_mountinfo(5) */
export interface Mount {
  readonly id: number
  readonly parentId: number
  /** `major:minor` */
  readonly device: string
  /** The directory of the file system that is mounted, e.g. `/` or the source of a bind mount. */
  readonly root: string
  readonly mountPoint: string
  /** Of this mount, e.g. `["ro", "nosuid", "nodev", "relatime"]`. */
  readonly options: readonly string[]
  /** e.g. `["shared:1", "master:2"]`; empty for a private mount. */
  readonly propagation: readonly string[]
  readonly type: string
  readonly source: string
  /** Of the file system, e.g. `["rw"]`. */
  readonly superOptions: readonly string[]
}

/** Reads the mounts of this process, or of another one's mount namespace, in the kernel's order. */
export async function readMounts(pid: number | 'self' = 'self'): Promise<Mount[]> {
  return parseMounts(await readFile(`/proc/${pid}/mountinfo`, 'utf8'))
}

/** Reads mountinfo text; octal escapes are decoded. */
export function parseMounts(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ')
      const dash = fields.indexOf('-', 6)
      const field = (at: number) => unescapeOctal(fields[at] ?? '')
      return {
        id: Number(fields[0]),
        parentId: Number(fields[1]),
        device: field(2),
        root: field(3),
        mountPoint: field(4),
        options: field(5).split(','),
        propagation: fields.slice(6, dash),
        type: field(dash + 1),
        source: field(dash + 2),
        superOptions: field(dash + 3).split(','),
      }
    })
}

/** The mounts at exactly this path, the one that is seen last. */
export async function mountsAt(path: string, pid: number | 'self' = 'self'): Promise<Mount[]> {
  return (await readMounts(pid)).filter(({ mountPoint }) => mountPoint === path)
}

/** Unmounts with MNT_DETACH, without following a link. */
export async function detach(mountPoint: string): Promise<void> {
  await run('umount', ['--lazy', '--no-canonicalize', '--internal-only', mountPoint])
}

/** Another mount namespace that sees what is mounted in shared mounts of this one, as the host sees a driver's mounts. */
export interface SecondNamespace extends AsyncDisposable {
  /** Of the process that keeps it; its mounts are `readMounts(pid)`. */
  readonly pid: number
  /** Runs a command in it, and gives its standard output. */
  run(command: string, ...args: string[]): Promise<string>
}

/**
 * Opens a second mount namespace that keeps propagation as it is. Open it BEFORE the mount that it is to see is made, and make that
 * mount beneath a shared one ({@link shareMount}). Disposing ends it.
 */
export async function openSecondNamespace(): Promise<SecondNamespace> {
  // The shell says when the namespace is there, and lives as long as its standard input does.
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'unchanged', 'sh', '-c', 'echo $$; exec cat >/dev/null'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const exited = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  const pid = await firstNumber(child.stdout)
  return {
    pid,
    run: (command, ...args) =>
      run('nsenter', ['--target', String(pid), '--mount', command, ...args]),
    [Symbol.asyncDispose]: async () => {
      child.stdin.end()
      await exited
    },
  }
}

/** Makes a directory a shared mount of its own, so that what is mounted beneath reaches other namespaces. Unmounts when disposed of. */
export async function shareMount(directory: string): Promise<AsyncDisposable> {
  await run('mount', ['--bind', directory, directory])
  // Beneath a shared root, as systemd makes it, it would share with that: what is mounted here would be listed twice.
  await run('mount', ['--make-private', directory])
  await run('mount', ['--make-shared', directory])
  return { [Symbol.asyncDispose]: () => detach(directory) }
}

/** Says why this process cannot mount; undefined when it can. A test that needs mounts skips with this reason. */
export async function whyNoMounts(): Promise<string | undefined> {
  const directory = await mkdtemp('/tmp/oc-')
  try {
    await run('mount', ['-t', 'tmpfs', 'oras-csi-probe', directory])
    await detach(directory)
    return undefined
  } catch {
    // The same words on every machine: the list of allowed skips repeats them.
    return 'mounting needs root with CAP_SYS_ADMIN'
  } finally {
    await rmdir(directory)
  }
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args)
  return stdout
}

async function firstNumber(stream: NodeJS.ReadableStream): Promise<number> {
  for await (const line of createInterface({ input: stream })) return Number(line)
  throw new Error('Cannot open a second mount namespace: unshare ended, see its message above')
}

/** `\040` is a space; the bytes together are UTF-8. */
function unescapeOctal(text: string): string {
  if (!text.includes('\\')) return text
  const bytes = Buffer.from(text)
    .toString('latin1')
    .replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    )
  return Buffer.from(bytes, 'latin1').toString()
}
