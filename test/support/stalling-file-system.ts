import { execFile, spawn } from 'node:child_process'
import { access, constants, mkdir, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { readMounts } from './mounts.ts'
import { poll } from './poll.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** A directory seen through a file system whose server can be stopped: what a dead NFS server or object store looks like. */
export interface StallingFileSystem extends AsyncDisposable {
  /** The directory itself. */
  readonly source: string
  /** The same files, as long as the server answers. Nothing is cached. */
  readonly mounted: string
  /** From now on every look at {@link mounted} hangs. */
  stall(): void
  /** What hung goes on. */
  resume(): void
}

const SFTP_SERVER = '/usr/lib/openssh/sftp-server'
const PROGRAMS = [
  { path: '/usr/bin/sshfs', debianPackage: 'sshfs' },
  { path: SFTP_SERVER, debianPackage: 'openssh-sftp-server' },
]

/** Says why there can be no such file system here, installing what is missing where that can be done. */
export async function whyNoStallingFileSystem(): Promise<string | undefined> {
  if (!(await isUsable('/dev/fuse', constants.R_OK | constants.W_OK))) return 'no /dev/fuse'
  if (process.getuid?.() !== 0) return 'not root: cannot mount'
  const missing = await missingPackages()
  if (missing.length === 0) return undefined
  const environment = {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' },
  }
  const apt = (...args: string[]) =>
    promisify(execFile)('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=120', ...args], environment)
  try {
    await apt('update')
    await apt('install', '-y', '--no-install-recommends', ...missing)
  } catch {
    return `not installed: ${missing.join(', ')}`
  }
  return undefined
}

/** Mounts an empty directory through sshfs and an sftp server of its own, without ssh. */
export async function mountStallingFileSystem(): Promise<StallingFileSystem> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const source = directory.file('source')
  const mounted = directory.file('mounted')
  await mkdir(source)
  await mkdir(mounted)
  await promisify(execFile)('mkfifo', [directory.file('there'), directory.file('back')])
  // Opened for both: neither waits for the other's program.
  const there = stack.use(await open(directory.file('there'), 'r+'))
  const back = stack.use(await open(directory.file('back'), 'r+'))

  const server = spawn(SFTP_SERVER, { stdio: [there.fd, back.fd, 'inherit'] })
  stack.defer(() => ended(server))
  const options = 'passive,direct_io,dir_cache=no,attr_timeout=0,entry_timeout=0'
  const client = spawn('sshfs', ['-f', '-o', options, `:${source}`, mounted], {
    stdio: [back.fd, there.fd, 'inherit'],
  })
  stack.defer(() => ended(client))
  await poll(async () => (await readMounts()).some(({ mountPoint }) => mountPoint === mounted), {
    deadlineMs: 10_000,
    what: 'sshfs to mount',
  })
  stack.defer(async () => {
    server.kill('SIGCONT')
    // Lazily: somebody may still hang in it.
    await promisify(execFile)('umount', ['--lazy', mounted])
  })
  const running = stack.move()
  return {
    source,
    mounted,
    stall: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

async function ended(child: ReturnType<typeof spawn>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exit
}

async function missingPackages(): Promise<string[]> {
  const missing: string[] = []
  for (const { path, debianPackage } of PROGRAMS) {
    if (!(await isUsable(path, constants.X_OK))) missing.push(debianPackage)
  }
  return missing
}

async function isUsable(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  )
}
