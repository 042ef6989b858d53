import { readFileSync } from 'node:fs'

/** One line of `/proc/PID/mountinfo`. @see proc_pid_mountinfo(5) */
export interface MountEntry {
  readonly id: number
  /** `major:minor` of the file system. */
  readonly device: string
  /** The directory of the file system that is the mount's root, e.g. `/store/trees/ab/root`. */
  readonly root: string
  readonly mountPoint: string
  /** Of this mount, e.g. `["ro", "nosuid", "nodev", "relatime"]`. */
  readonly options: readonly string[]
  readonly fileSystem: string
  /** Of an overlay: what it was mounted with. */
  readonly overlay?: OverlayDirectories
}

/** The paths as they were given to mount(2). */
export interface OverlayDirectories {
  readonly lower: string
  /** Empty when there is none. */
  readonly upper: string
}

/** Reads the text of a mountinfo file; a line that does not have the fields is left out. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of text.split('\n')) {
    const fields = line.split(' ')
    const [id, , device, root, mountPoint, options] = fields
    const separator = fields.indexOf('-', 6)
    const fileSystem = separator < 0 ? undefined : fields[separator + 1]
    if (
      id === undefined ||
      device === undefined ||
      root === undefined ||
      mountPoint === undefined ||
      options === undefined ||
      fileSystem === undefined
    ) {
      continue
    }
    entries.push({
      id: Number(id),
      device,
      root: decodeOctal(root),
      mountPoint: decodeOctal(mountPoint),
      options: options.split(','),
      fileSystem,
      ...(fileSystem === 'overlay' && { overlay: readOverlay(fields[separator + 3] ?? '') }),
    })
  }
  return entries
}

/** From `rw,lowerdir=/a,upperdir=/b,workdir=/c`: a comma in a name is written as octal digits. */
function readOverlay(options: string): OverlayDirectories {
  const find = (name: string) =>
    decodeOctal(
      options
        .split(',')
        .find((option) => option.startsWith(name))
        ?.slice(name.length) ?? '',
    )
  return { lower: find('lowerdir='), upper: find('upperdir=') }
}

/** The mounts of this process's namespace, in the order they were made: the last one at a path is the one that is seen. */
export function readMounts(): MountEntry[] {
  // The kernel writes it from memory: tens of microseconds, where the thread pool takes several times as long to hand over each piece.
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** The kernel writes space, tab, newline and backslash in names as `\` and three octal digits, byte by byte. */
export function decodeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}
