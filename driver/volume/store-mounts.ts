import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { parseMountinfo } from './mountinfo.ts'

/** A mount of a tree or view, or of an overlay of one. */
export interface StoreMount {
  /** As mountinfo has it: without symbolic links. */
  readonly mountPoint: string
  readonly kind: 'tree' | 'view'
  readonly key: string
  /** An overlay: a writable volume. */
  readonly writable: boolean
}

/** What mounts show of a store, and of those of other formats that lie in the same directory. */
export interface StoreMounts {
  /**
   * Answers whether a mount shows what lies at a path of the store, or lay there when it was mounted: a bind mount is listed with the path that its
   * directory has now, an overlay with the one that it had when it was mounted.
   */
  show(path: string): boolean

  /** The keys of every tree and view that a mount shows. */
  keys(): ReadonlySet<string>

  /** How many mounts show a tree or view: of one several may. */
  count(): number

  /** Every mount of the whole of a tree or view, as it is or writable: volumes, as a rule. */
  list(): readonly StoreMount[]
}

/**
 * Looks at mountinfo each time, as text: it is a megabyte where thousands of volumes are mounted, and only a few bytes of it matter.
 *
 * @param directory of the store
 * @param readMountinfo of the processes whose mounts are meant
 * @param readOwn of this process, which sees the store
 * @see proc_pid_mountinfo(5)
 */
export function createStoreMounts(
  directory: string,
  readMountinfo: () => string = () => readFileSync('/proc/self/mountinfo', 'utf8'),
  readOwn: (text: string) => string = (text) => text,
): StoreMounts {
  /** Where the store lies within its file system; it is not there yet when this is made. */
  let root: string | undefined
  const look = () => {
    const text = readMountinfo()
    root ??= pathInFileSystem(realpathSync(directory), readOwn(text))
    return { text, root }
  }
  const laidOver = (text: string) => text.match(/ - overlay .*/g) ?? []
  const boundTo = (root: string, rest: string) =>
    new RegExp(` ${quote(root)}(?:/format-[0-9]+)?/(trees|views)/([0-9a-f]{64})/${rest}`, 'g')
  const keysShown = (): readonly string[] => {
    const { text, root } = look()
    const over = /\/(?:trees|views)\/([0-9a-f]{64})\//g
    return [
      // Also below its root, as the kubelet's mounts of subPaths show it.
      ...[...text.matchAll(boundTo(root, ''))].map(([, , key = '']) => key),
      ...laidOver(text).flatMap((options) =>
        [...options.matchAll(over)].map(([, key = '']) => key),
      ),
    ]
  }
  return {
    show(entry) {
      const { text, root } = look()
      const inside = entry.slice(directory.length)
      if (text.includes(` ${root}${inside}/`) || text.includes(` ${root}${inside} `)) return true
      // What an overlay was told may be another name of the same store.
      return laidOver(text).some((options) => options.includes(`${inside}/`))
    },
    keys: () => new Set(keysShown()),
    count: () => keysShown().length,
    list() {
      const { text, root } = look()
      const bound = new RegExp(`^${quote(root)}${WHOLE}`)
      const over = new RegExp(WHOLE)
      // Only lines with something of a store are worth taking apart.
      const lines = text.split('\n').filter((line) => over.test(line))
      return parseMountinfo(lines.join('\n')).flatMap(({ root: shown, mountPoint, overlay }) => {
        const writable = overlay !== undefined
        const match = writable ? over.exec(overlay.lower) : bound.exec(escaped(shown))
        const [, kinds, key] = match ?? []
        if (key === undefined) return []
        const kind = kinds === 'trees' ? ('tree' as const) : ('view' as const)
        return [{ mountPoint, kind, key, writable }]
      })
    },
  }
}

/** A tree's or view's root, below the store. */
const WHOLE = '(?:/format-[0-9]+)?/(trees|views)/([0-9a-f]{64})/root(?![^ ,])'

/** Where a path lies within its file system, as mountinfo writes it: the root of the last mount that covers it, and what comes then. */
function pathInFileSystem(path: string, mountinfo: string): string {
  let best = { point: '', root: '' }
  for (const line of mountinfo.split('\n')) {
    const [, , , root, point] = line.split(' ')
    if (root === undefined || point === undefined) continue
    const covers = `${escaped(path)}/`.startsWith(point === '/' ? '/' : `${point}/`)
    if (covers && point.length >= best.point.length) best = { point, root }
  }
  const inside = escaped(path).slice(best.point === '/' ? 0 : best.point.length)
  return join('/', best.root, inside)
}

/** As the kernel writes names: space, tab, newline and backslash as `\` and three octal digits. */
function escaped(path: string): string {
  return path.replace(
    /[ \t\n\\]/g,
    (found) => `\\${found.charCodeAt(0).toString(8).padStart(3, '0')}`,
  )
}

function quote(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
