import { createCipheriv, createHash } from 'node:crypto'
import { createRandom, type Random } from '../fuzz/random.ts'
import {
  artifact,
  type Built,
  directoryLayer,
  image,
  index,
  type Layer,
} from '../support/artifact.ts'
import { type TarEntry, tarOf } from '../support/tar.ts'
import { type ExpectedEntry, type ExpectedTree, fileEntry } from './expected-tree.ts'

/** What an artifact is made of. */
export const ARTIFACT_KINDS = ['file', 'files', 'directory', 'image', 'index'] as const

export type ArtifactKind = (typeof ARTIFACT_KINDS)[number]

/** One state of an artifact, which its tag may have. */
export interface ArtifactVersion {
  readonly built: Built
  readonly tree: ExpectedTree
  /** Of an index: what its child for {@link OTHER_PLATFORM} shows. */
  readonly otherTree?: ExpectedTree
  /** The most that the store needs for it: blobs, and what comes out of them. */
  readonly bytes: number
}

/** A repository with one tag that moves from version to version. */
export interface SoakArtifact {
  readonly repository: string
  readonly kind: ArtifactKind
  readonly isBig: boolean
  readonly versions: readonly ArtifactVersion[]
}

export const TAG = 'moving'
/** Of no node that this runs on. */
export const OTHER_PLATFORM = { os: 'linux', architecture: 's390x' } as const

const MIB = 1024 * 1024
const SMALL = { count: 30, versions: 8 }
const BIG = { count: 10, versions: 2 }

/**
 * Makes the artifacts of a seed: small ones from a byte to 200 KiB, and big ones of 2 to 12 MiB. What each shows is written down here, as it is made, and
 * not computed by anything that is tested.
 */
export function makeArtifacts(seed: number): readonly SoakArtifact[] {
  const make = (count: number, versions: number, isBig: boolean) =>
    Array.from({ length: count }, (_, at): SoakArtifact => {
      const kinds = isBig ? BIG_KINDS : ARTIFACT_KINDS
      const kind = kinds[at % kinds.length] ?? 'file'
      return {
        ...{ kind, isBig, repository: repositoryName(at, isBig) },
        versions: Array.from({ length: versions }, (_, version) =>
          makeVersion(
            kind,
            isBig,
            createRandom(numberOf(seed, isBig ? 'big' : 'small', at, version)),
          ),
        ),
      }
    })
  return [...make(SMALL.count, SMALL.versions, false), ...make(BIG.count, BIG.versions, true)]
}

const BIG_KINDS = ['files', 'directory', 'files', 'image', 'index'] as const

/** Pairs that a careless file name would make one: `a.b/c` and `a-b/c`. */
function repositoryName(at: number, isBig: boolean): string {
  return `soak/a${at % 2 === 0 ? '.' : '-'}b/c${Math.floor(at / 2)}${isBig ? '-big' : ''}`
}

/** A 31-bit number that words and numbers stand for. */
export function numberOf(...words: readonly (string | number)[]): number {
  return createHash('sha256').update(words.join(' ')).digest().readUInt32LE() & 0x7fff_ffff
}

function makeVersion(kind: ArtifactKind, isBig: boolean, random: Random): ArtifactVersion {
  const made = MAKERS[kind](random, isBig)
  const blobs = blobBytes(made.built)
  const shown = [...made.tree.values(), ...(made.otherTree?.values() ?? [])]
  const files = shown.reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.size : 0), 0)
  return { ...made, bytes: blobs + files }
}

function blobBytes({ blobs, children }: Built): number {
  const own = [...blobs.values()].reduce((sum, { length }) => sum + length, 0)
  return children.reduce((sum, child) => sum + blobBytes(child), own)
}

type Made = Omit<ArtifactVersion, 'bytes'>

const MAKERS: Record<ArtifactKind, (random: Random, isBig: boolean) => Made> = {
  file: (random) => titledFiles([['only.txt', smallContent(random)]]),

  files(random, isBig) {
    const files = someFiles(random).map(([path, content]): [string, Buffer] => [path, content])
    if (isBig) files.push([`d0/${random.integer(3)}-big.bin`, bigContent(random)])
    return titledFiles(files)
  },

  directory(random, isBig) {
    const files = someFiles(random)
    if (isBig) files.push(['d0/big.bin', bigContent(random)])
    const title = `d${random.integer(2)}`
    const [first] = files
    if (first === undefined) throw new Error('No files')
    const long = `d1/${'long-name-'.repeat(12)}.txt`
    const entries: (TarEntry & { readonly path: string })[] = [
      ...files.map(([path, content]) => ({ path, content })),
      { path: long, content: 'long' },
      { path: 'd1/to.link', type: 'symlink', linkname: `../${first[0]}` },
      { path: 'd1/hard.bin', type: 'hardlink', linkname: `${title}/${first[0]}` },
    ]
    const tree = new Map<string, ExpectedEntry>([
      ...files.map(([path, content]) => [`${title}/${path}`, fileEntry(content)] as const),
      [`${title}/${long}`, fileEntry(Buffer.from('long'))],
      [`${title}/d1/to.link`, { kind: 'link', target: `../${first[0]}` }],
      [`${title}/d1/hard.bin`, fileEntry(first[1])],
      ['d0/beside.txt', fileEntry(Buffer.from(first[1].subarray(0, 9)))],
    ])
    const beside = { title: 'd0/beside.txt', content: Buffer.from(first[1].subarray(0, 9)) }
    // A directory first, so that the file is placed into what was unpacked where both are called the same.
    return { built: artifact({ layers: [directoryLayer(title, entries), beside] }), tree }
  },

  image: (random, isBig) => {
    const { layers, tree } = imageLayers(random, isBig)
    return { built: image({ layers, ...compressionOf(random) }), tree }
  },

  index(random, isBig) {
    const ours = imageLayers(random, isBig)
    const others = imageLayers(random, false)
    const platform = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch }
    const built = index([
      image({ layers: others.layers, platform: OTHER_PLATFORM }),
      image({ layers: ours.layers, platform, ...compressionOf(random) }),
    ])
    return { built, tree: ours.tree, otherTree: others.tree }
  },
}

function titledFiles(files: readonly (readonly [title: string, content: Buffer])[]): Made {
  const layers = files.map(([title, content]): Layer => ({ title, content }))
  const tree = new Map(files.map(([title, content]) => [title, fileEntry(content)]))
  return { built: artifact({ layers }), tree }
}

/** In each directory one that is text and one that is not; all in all 4 to 12. */
function someFiles(random: Random): [path: string, content: Buffer][] {
  const files: [string, Buffer][] = [
    ['d0/text.txt', smallContent(random)],
    ['d0/data.bin', smallContent(random)],
    ['d1/text.txt', smallContent(random)],
    ['d1/data.bin', smallContent(random)],
  ]
  const more = random.integer(9)
  for (let at = 0; at < more; at += 1) {
    const name = `f${at}.${random.pick(['txt', 'bin'])}`
    files.push([`d${random.integer(3)}/deep/${name}`, smallContent(random)])
  }
  return files
}

/** Three layers; the second hides and replaces what the first has, the third replaces a whole directory. */
function imageLayers(random: Random, isBig: boolean) {
  const content = () => smallContent(random)
  const tree = new Map<string, ExpectedEntry>()
  const file = (path: string, bytes: Buffer): TarEntry => {
    tree.set(path, fileEntry(bytes))
    return { path, content: bytes }
  }
  const hide = (path: string): TarEntry => {
    for (const shown of tree.keys()) {
      if (shown === path || shown.startsWith(`${path}/`)) tree.delete(shown)
    }
    return { path: path.replace(/([^/]*)$/, '.wh.$1') }
  }
  const first = [
    { path: 'd0', type: 'directory' as const },
    file('d0/text.txt', content()),
    file('d0/data.bin', content()),
    file('d0/hidden.bin', content()),
    file('d1/old-1.txt', content()),
    file('d1/deep/old-2.bin', content()),
    file('d2/gone/text.txt', content()),
    file('d2/stays.bin', isBig ? bigContent(random) : content()),
  ]
  const second = [
    hide('d0/hidden.bin'),
    hide('d2/gone'),
    file('d0/data.bin', content()),
    { path: 'd0/to.link', type: 'symlink' as const, linkname: 'text.txt' },
  ]
  tree.set('d0/to.link', { kind: 'link', target: 'text.txt' })
  for (const path of [...tree.keys()]) if (path.startsWith('d1/')) tree.delete(path)
  const third = [{ path: 'd1/.wh..wh..opq' }, file('d1/new.txt', content())]
  return { layers: [first, second, third].map((entries) => tarOf(entries)), tree }
}

function compressionOf(random: Random) {
  return { compression: random.pick(['gzip', 'zstd', 'none'] as const) }
}

/** Mostly tiny; sometimes what other artifacts have, too, as one blob. */
function smallContent(random: Random): Buffer {
  if (random.integer(4) === 0) return bytesOf(random.integer(6), 5_000)
  const below = random.pick([2, 100, 4_097, 200 * 1024] as const)
  return bytesOf(random.integer(2 ** 31), 1 + random.integer(below))
}

function bigContent(random: Random): Buffer {
  return bytesOf(random.integer(2 ** 31), 2 * MIB + random.integer(10 * MIB))
}

/** Bytes that nothing compresses; the same for the same seed. */
function bytesOf(seed: number, size: number): Buffer {
  const key = createHash('sha256').update(`content ${seed}`).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size))
}
