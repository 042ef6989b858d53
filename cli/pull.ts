import { lstat, mkdtemp, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { CodedError, isSystemError } from '../common/errors.ts'
import { parseFlags, text } from '../common/flags.ts'
import { createLogger } from '../common/log.ts'
import { ANONYMOUS, type Keyring, parseDockerConfig } from '../common/oci/credentials.ts'
import { createHosts } from '../common/oci/hosts.ts'
import { nodePlatform } from '../common/oci/platform.ts'
import { parseReference } from '../common/oci/reference.ts'
import { createRegistrySource } from '../common/oci/registry-source.ts'
import { removeTreeInSlices } from '../driver/linux/remove-tree.ts'
import { formatBytes, formatProgress } from '../driver/pull/format-progress.ts'
import type { Progress } from '../driver/pull/jobs.ts'
import { createPuller } from '../driver/pull/puller.ts'
import { createTreeWorkers } from '../driver/pull/tree-workers.ts'
import { openStore } from '../driver/store/store.ts'
import type { Tree } from '../driver/store/trees.ts'
import type { Command, Io } from './command.ts'

const FLAGS = {
  'hosts-directory': {
    value: 'DIRECTORY',
    doc: "registries' addresses and certificates: containerd's hosts.toml directories",
    default: '/etc/containerd/certs.d',
    parse: text,
  },
} as const

/** The docker client uses plain HTTP on loopback, downloads three layers at once, and so do we. */
const MAX_DOWNLOADS = 3

/**
 * Lays an artifact out in a new directory by the driver's own code: the same files, names and modes that a pod would see.
 * Credentials are those of `docker login`.
 *
 * The directory appears in one step, complete; on failure or Ctrl-C nothing is left.
 */
export const pull: Command = {
  summary: 'lay an artifact out in a directory as the driver would',
  async run(args, io) {
    const flags = parseFlags({
      usage: 'oras-csi pull REFERENCE DIRECTORY [FLAGS]',
      flags: FLAGS,
      argv: args,
      env: io.env,
      positionals: 2,
    })
    if (flags.help) {
      io.stdout(flags.text)
      return 0
    }
    const [name = '', directory = ''] = flags.positionals
    const reference = parseReference(name)
    if (reference.tag === undefined && reference.digest === undefined) {
      throw new CodedError(
        'INVALID',
        `Invalid reference "${name}": expected a tag or digest, e.g. "${name}:latest"`,
      )
    }
    const target = resolve(directory)
    await checkTarget(target)
    // Beside the target, so that the tree can be renamed into place.
    const work = await mkdtemp(join(dirname(target), '.oras-csi-'))
    try {
      await using puller = await openPuller(work, flags.values['hosts-directory'], io)
      const started = performance.now()
      let bar: Disposable | undefined
      let tree: Tree
      try {
        tree = await puller.ensureTree(
          { reference },
          {
            keyring: await readKeyring(io),
            signal: io.interrupted,
            onPull: (progress) => {
              bar = showProgress(progress, io)
            },
          },
        )
      } finally {
        bar?.[Symbol.dispose]()
      }
      await place(tree.root, target)
      const seconds = ((performance.now() - started) / 1_000).toFixed(1)
      const { manifest, bytes, inodes } = tree.meta
      io.stdout(
        `${directory}: ${inodes} entries, ${formatBytes(bytes)}, from ${manifest} in ${seconds} s\n`,
      )
      return 0
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  },
}

/** @throws CONFLICT when something stands in the way */
async function checkTarget(target: string): Promise<void> {
  let entries: readonly string[]
  try {
    entries = await readdir(target)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return checkParent(dirname(target))
    if (!isSystemError(error, 'ENOTDIR')) throw error
    throw new CodedError('CONFLICT', `Cannot pull into "${target}": it is not a directory`, {
      cause: error,
    })
  }
  if (entries.length > 0) {
    throw new CodedError(
      'CONFLICT',
      `Cannot pull into "${target}": it is not empty; name a directory that is not there yet`,
    )
  }
}

async function checkParent(parent: string): Promise<void> {
  try {
    await lstat(parent)
  } catch (error) {
    throw new CodedError('NOT_FOUND', `Cannot pull: the directory "${parent}" does not exist`, {
      cause: error,
    })
  }
}

async function place(root: string, target: string): Promise<void> {
  try {
    await rmdir(target)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
  await rename(root, target)
}

async function openPuller(work: string, hostsDirectory: string, io: Io) {
  await using stack = new AsyncDisposableStack()
  const log = createLogger({ name: 'oras-csi', level: 'silent' })
  const store = stack.use(
    await openStore({
      directory: join(work, 'store'),
      bootId: 'this-process',
      log,
      signal: io.interrupted,
      isMounted: async () => false,
      removeTree: removeTreeInSlices,
    }),
  )
  const hosts = createHosts({
    directory: hostsDirectory,
    plainHttpLoopback: true,
    warn: (message) => io.stderr(`warning: ${message}\n`),
  })
  const puller = stack.use(
    createPuller({
      ...{ store, log },
      source: stack.use(createRegistrySource({ hosts })),
      treeWorkers: stack.use(createTreeWorkers({ size: 1, log })),
      platform: nodePlatform(),
      maxDownloads: MAX_DOWNLOADS,
    }),
  )
  const open = stack.move()
  return {
    ensureTree: puller.ensureTree,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}

/** What `docker login` and `oras login` wrote. */
async function readKeyring(io: Io): Promise<Keyring> {
  const { DOCKER_CONFIG: configured, HOME: home } = io.env
  const directory = configured ?? (home === undefined ? undefined : join(home, '.docker'))
  if (directory === undefined) return ANONYMOUS
  const path = join(directory, 'config.json')
  try {
    return parseDockerConfig(await readFile(path), { label: path })
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return ANONYMOUS
    throw error
  }
}

const BAR_WIDTH = 24
const BAR_INTERVAL_MS = 100
const CLEAR_LINE = '\r\x1b[K'

/** Draws a bar on a terminal until it is disposed of; elsewhere it draws nothing. */
function showProgress(progress: () => Progress | undefined, io: Io): Disposable {
  if (!io.stderrIsTerminal) return { [Symbol.dispose]: () => undefined }
  const draw = () => {
    const far = progress()
    if (far !== undefined) io.stderr(`${CLEAR_LINE}${progressBar(far)}`)
  }
  const timer = setInterval(draw, BAR_INTERVAL_MS)
  draw()
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer)
      io.stderr(CLEAR_LINE)
    },
  }
}

/** `[########................] 33 % 1.2 GiB of 3.6 GiB` */
export function progressBar(far: Progress): string {
  const share = far.total === 0 ? 0 : Math.min(1, far.done / far.total)
  const filled = Math.floor(share * BAR_WIDTH)
  const bar = '#'.repeat(filled) + '.'.repeat(BAR_WIDTH - filled)
  return `[${bar}] ${String(Math.floor(share * 100)).padStart(3)} % ${formatProgress(far)}`
}
