import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

/** What mounts show of a store. */
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
}

/**
 * Looks at mountinfo each time, as text: it is a megabyte where thousands of volumes are mounted, and only a few bytes of it matter.
 *
 * @param directory of the store
 * @see proc_pid_mountinfo(5)
 */
export function createStoreMounts(
  directory: string,
  readMountinfo: () => string = () => readFileSync('/proc/self/mountinfo', 'utf8'),
): StoreMounts {
  /** Where the store lies within its file system; it is not there yet when this is made. */
  let root: string | undefined
  const look = () => {
    const text = readMountinfo()
    root ??= escaped(pathInFileSystem(realpathSync(directory), text))
    return { text, root }
  }
  const laidOver = (text: string) => text.match(/ - overlay .*/g) ?? []
  const keysShown = (): readonly string[] => {
    const { text, root } = look()
    const bound = new RegExp(` ${quote(root)}/(?:trees|views)/([0-9a-f]{64})/`, 'g')
    const over = /\/(?:trees|views)\/([0-9a-f]{64})\//g
    return [
      ...text.matchAll(bound),
      ...laidOver(text).flatMap((options) => [...options.matchAll(over)]),
    ].map(([, key = '']) => key)
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
  }
}

/** Where a path lies within its file system: the root of the last mount that covers it, and what comes then. */
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
