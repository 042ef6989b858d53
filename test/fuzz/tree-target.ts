import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import type { Flavour } from '../../driver/pull/layout/layout-step.ts'
import { buildTree } from '../../driver/pull/tree/tree-builder.ts'
import { DEFAULT_TREE_LIMITS } from '../../driver/pull/tree/tree-limits.ts'
import { ARCHIVES, hostileArchive, repairChecksums } from './archives.ts'
import type { FuzzTarget } from './fuzz-target.ts'

const NEVER = new AbortController().signal
const LIMITS = { ...DEFAULT_TREE_LIMITS, minFreeBytes: 0, minFreeInodes: 0 }

/** Where trees are built, with a canary that no tree may touch. */
interface Ground {
  readonly root: string
  readonly blob: string
  /** What stands around the root. */
  look(): string
}

/** Builds real trees of hostile archives, twice over, and looks at what they came to. */
export function treeTarget(flavour: Flavour): FuzzTarget {
  let ground: Ground | undefined
  return {
    name: `tree-of-${flavour}`,
    seeds: ARCHIVES,
    generate: hostileArchive,
    repair: repairChecksums,
    async run(input, random, directory) {
      ground ??= prepare(directory)
      const { root, blob, look } = ground
      const before = look()
      mkdirSync(root)
      writeFileSync(blob, input)
      const step = { kind: 'unpack', blobPath: blob, path: random.pick(['', 'a']) } as const
      const steps = [step, { ...step, path: '' }].map((each) => ({
        ...each,
        namesFrom: 'path' as const,
      }))
      try {
        await buildTree({ root, flavour, modes: 'keep', limits: LIMITS, steps }, NEVER)
        checkTree(root, flavour)
      } finally {
        rmSync(root, { recursive: true })
        expectSame(before, look())
      }
    },
  }
}

function prepare(directory: string): Ground {
  const canary = join(directory, 'canary')
  writeFileSync(canary, 'not yours', { mode: 0o600 })
  writeFileSync(join(directory, 'blob'), '')
  return {
    root: join(directory, 'root'),
    blob: join(directory, 'blob'),
    look: () => {
      const { ino, nlink, mode, mtimeMs } = lstatSync(canary)
      const names = readdirSync(directory).join(' ')
      return `${names}, ${readFileSync(canary, 'utf8')} ${ino} ${nlink} ${mode} ${mtimeMs}`
    },
  }
}

function expectSame(before: string, after: string): void {
  if (after !== before) throw new Error(`The canary was ${before}, and is ${after}`)
}

/** No special file, no set-id bit, and in an artifact no link that leads out. */
function checkTree(root: string, flavour: Flavour, path = root): void {
  for (const name of readdirSync(path)) {
    const entry = join(path, name)
    const stat = lstatSync(entry)
    if (stat.isSymbolicLink()) {
      if (flavour === 'artifact') checkLink(root, entry)
    } else if (!stat.isFile() && !stat.isDirectory()) throw new Error(`${entry} is special`)
    else if ((stat.mode & 0o7000) !== 0) throw new Error(`${entry} has mode ${stat.mode}`)
    else if (stat.isDirectory()) checkTree(root, flavour, entry)
  }
}

function checkLink(root: string, link: string): void {
  let real: string
  try {
    real = realpathSync(link)
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ELOOP', 'ENOTDIR', 'ENAMETOOLONG')) return
    throw error
  }
  if (real !== root && !real.startsWith(`${root}/`)) throw new Error(`${link} leads to ${real}`)
}
