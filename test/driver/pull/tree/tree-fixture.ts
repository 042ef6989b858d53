import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { CodedError } from '../../../../common/errors.ts'
import { digestHex, digestOf } from '../../../../common/oci/digest.ts'
import { buildTree } from '../../../../driver/pull/tree/tree-builder.ts'
import type { TreeJob, TreeStep, TreeSummary } from '../../../../driver/pull/tree/tree-job.ts'
import { DEFAULT_TREE_LIMITS } from '../../../../driver/pull/tree/tree-limits.ts'
import { type TarEntry, tarOf } from '../../../support/tar.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

/** An archive to unpack, or a ready step. */
export type Layer = readonly TarEntry[] | Uint8Array | TreeStep

/** A root to build in, with a canary beside it that no build may touch. */
export interface TreeFixture extends AsyncDisposable {
  readonly directory: string
  readonly root: string
  /** Writes a blob as the store does, named by its digest. */
  blob(content: Uint8Array | string, mode?: number): string
  job(layers: readonly Layer[], options?: Partial<TreeJob>): TreeJob
  build(layers: readonly Layer[], options?: Partial<TreeJob>): Promise<TreeSummary>
  /** Builds, and gives what it threw as `CODE message`, the layer's name left out. */
  failure(layers: readonly Layer[], options?: Partial<TreeJob>): Promise<string>
  tree(): Record<string, string>
  canary(): Record<string, string>
}

export const NEVER = new AbortController().signal

export async function treeFixture(): Promise<TreeFixture> {
  const temporary = await temporaryDirectory()
  const root = temporary.file('root')
  const outside = temporary.file('canary')
  mkdirSync(root, { mode: 0o700 })
  mkdirSync(temporary.file('blobs'))
  mkdirSync(join(outside, 'directory'), { recursive: true })
  writeFileSync(join(outside, 'secret'), 'not yours', { mode: 0o600 })

  const fixture: TreeFixture = {
    directory: temporary.path,
    root,
    blob(content, mode = 0o444) {
      const path = temporary.file('blobs', digestHex(digestOf(content)))
      writeFileSync(path, content, { mode })
      return path
    },
    job: (layers, options = {}) => ({
      root,
      flavour: 'artifact',
      modes: 'readable',
      limits: DEFAULT_TREE_LIMITS,
      ...options,
      steps: layers.map((layer) => {
        if ('kind' in layer) return layer
        const bytes = layer instanceof Uint8Array ? layer : tarOf(layer)
        return { kind: 'unpack', blobPath: fixture.blob(bytes), path: '' }
      }),
    }),
    build: (layers, options) => buildTree(fixture.job(layers, options), NEVER),
    async failure(layers, options) {
      return fixture.build(layers, options).then(
        () => 'nothing was thrown',
        (error: unknown) => failureText(error),
      )
    },
    tree: () => treeOf(root),
    canary: () => ({
      ...treeOf(outside, { exact: true }),
      beside: readdirSync(temporary.path).sort().join(' '),
    }),
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
  return fixture
}

/** An error as `CODE message`, digests shortened. */
export function failureText(error: unknown): string {
  if (!(error instanceof CodedError)) throw error
  return `${error.code} ${error.message}`.replace(/ layer [0-9a-f]{64}/, ' layer')
}

/**
 * Everything below a directory, by path: `file 644 @1700000000 content`, `directory 755 @1700000000`, `link -> target`.
 * Times of directories that are not the archive's are left out, unless `exact`, which shows inodes and links, too.
 */
export function treeOf(
  root: string,
  options: { readonly exact?: boolean } = {},
): Record<string, string> {
  const found: Record<string, string> = {}
  const visit = (path: string) => {
    const absolute = join(root, path)
    const { mode, mtimeMs, ino, nlink, ...stat } = lstatSync(absolute)
    const permissions = (mode & 0o7777).toString(8)
    const exact = options.exact ? ` inode ${ino} links ${nlink} ${mtimeMs}` : ''
    const name = path === '' ? '.' : path
    if (lstatSync(absolute).isSymbolicLink()) {
      found[name] = `link -> ${readlinkSync(absolute)}${exact}`
    } else if (lstatSync(absolute).isDirectory()) {
      found[name] = `directory ${permissions}${timeOf(mtimeMs)}${exact}`
      for (const child of readdirSync(absolute).sort())
        visit(path === '' ? child : `${path}/${child}`)
    } else {
      const content = stat.size > 100 ? digestOf(readFileSync(absolute)) : readFileSync(absolute)
      found[name] = `file ${permissions}${timeOf(mtimeMs)} ${content}${exact}`
    }
  }
  visit('')
  return found
}

/** Made just now: not an archive's time. */
function timeOf(mtimeMs: number): string {
  return Date.now() - mtimeMs < 3_600_000 ? '' : ` @${mtimeMs / 1000}`
}
