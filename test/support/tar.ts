import { Buffer } from 'node:buffer'

/** What a tar entry is, by the name of its type flag. */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'char' | 'block'

/** One entry to write. Nothing is checked: hostile archives are what this is for. */
export interface TarEntry {
  /** Written as it is; bytes for names that are not UTF-8. A directory gets no slash added. */
  readonly path: string | Uint8Array
  /** Default `file`. */
  readonly type?: TarEntryType
  readonly content?: Uint8Array | string
  /** Default 0644; 0755 for directories, 0777 for symlinks. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  /** Seconds since 1970; default 1 700 000 000. A fraction goes into a PAX record. */
  readonly mtime?: number
  readonly linkname?: string | Uint8Array
  /** Records of a PAX header (`x`) written before the entry, besides those that long names need. */
  readonly pax?: Readonly<Record<string, string>>
  /** How a name beyond 100 bytes is written; default `pax`. */
  readonly longNames?: 'pax' | 'gnu' | 'ustar'
  /** Replaces the type flag, e.g. `"S"` (GNU sparse) or `"g"` (global PAX header). */
  readonly typeflag?: string
  /** Replaces raw header fields; the checksum is computed afterwards, unless it is among them. */
  readonly header?: Partial<Record<HeaderField, string | Uint8Array>>
}

/** Options of {@link tarOf}. */
export interface TarOptions {
  /** Whether the two zero blocks follow; default true. */
  readonly trailer?: boolean
}

const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 8],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [offset: number, length: number]>

type HeaderField = keyof typeof FIELDS

const TYPE_FLAGS = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
} as const satisfies Record<TarEntryType, string>

const DEFAULT_MODES: Partial<Record<TarEntryType, number>> = { directory: 0o755, symlink: 0o777 }

/** Writes an uncompressed tar archive: ustar headers, PAX (or GNU) records where a name needs them. */
export function tarOf(entries: readonly TarEntry[], options: TarOptions = {}): Buffer {
  const parts = entries.flatMap(entryBlocks)
  if (options.trailer !== false) parts.push(Buffer.alloc(1024))
  return Buffer.concat(parts)
}

/** Writes the body of a PAX header: `"LENGTH KEY=VALUE\n"` records, the length counting itself. */
export function paxRecords(records: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(records).map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`)
      let length = rest + String(rest).length
      if (rest + String(length).length > length) length = rest + String(length).length
      return Buffer.from(`${length} ${key}=${value}\n`)
    }),
  )
}

/** Writes a number in GNU's base-256 form into a field of `length` bytes; negative numbers too. */
export function base256(value: bigint, length = 12): Buffer {
  const field = Buffer.alloc(length)
  let rest = BigInt.asUintN(length * 8, value)
  for (let i = length - 1; i >= 0; i--) {
    field[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  field[0] = (field[0] ?? 0) | 0x80
  return field
}

function entryBlocks(entry: TarEntry): Buffer[] {
  const type = entry.type ?? 'file'
  const blocks: Buffer[] = []
  const pax = new Map<string, string>()
  let name = Buffer.from(entry.path)
  let linkname = Buffer.from(entry.linkname ?? '')
  let prefix = Buffer.alloc(0)
  const longNames = entry.longNames ?? 'pax'
  if (name.length > 100) {
    if (longNames === 'gnu') blocks.push(...gnuLongName('L', name))
    if (longNames === 'pax') pax.set('path', name.toString())
    if (longNames === 'ustar') {
      const slash = name.lastIndexOf('/', 155)
      prefix = name.subarray(0, slash)
      name = name.subarray(slash + 1)
    }
    name = name.subarray(0, 100)
  }
  if (linkname.length > 100) {
    if (longNames === 'gnu') blocks.push(...gnuLongName('K', linkname))
    else pax.set('linkpath', linkname.toString())
    linkname = linkname.subarray(0, 100)
  }
  const mtime = entry.mtime ?? 1_700_000_000
  if (!Number.isInteger(mtime)) pax.set('mtime', String(mtime))
  for (const [key, value] of Object.entries(entry.pax ?? {})) pax.set(key, value)
  if (pax.size > 0) {
    const body = paxRecords(Object.fromEntries(pax))
    blocks.push(
      header({ name: Buffer.from('PaxHeaders/0'), typeflag: 'x', size: body.length }),
      padded(body),
    )
  }
  const content = Buffer.from(entry.content ?? '')
  blocks.push(
    header({
      name,
      linkname,
      prefix,
      typeflag: entry.typeflag ?? TYPE_FLAGS[type],
      size: content.length,
      mode: entry.mode ?? DEFAULT_MODES[type] ?? 0o644,
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      mtime: Math.floor(mtime),
      overrides: entry.header ?? {},
    }),
  )
  if (content.length > 0) blocks.push(padded(content))
  return blocks
}

function gnuLongName(typeflag: 'L' | 'K', name: Buffer): Buffer[] {
  const body = Buffer.concat([name, Buffer.alloc(1)])
  return [header({ name: Buffer.from('././@LongLink'), typeflag, size: body.length }), padded(body)]
}

function header(fields: {
  name: Buffer
  typeflag: string
  size: number
  linkname?: Buffer
  prefix?: Buffer
  mode?: number
  uid?: number
  gid?: number
  mtime?: number
  overrides?: NonNullable<TarEntry['header']>
}): Buffer {
  const block = Buffer.alloc(512)
  const write = (field: HeaderField, value: string | Uint8Array) => {
    const [offset, length] = FIELDS[field]
    block.fill(0, offset, offset + length)
    Buffer.from(value).copy(block, offset, 0, length)
  }
  write('name', fields.name)
  write('mode', octal(fields.mode ?? 0o644, 8))
  write('uid', octal(fields.uid ?? 0, 8))
  write('gid', octal(fields.gid ?? 0, 8))
  write('size', octal(fields.size, 12))
  write('mtime', octal(fields.mtime ?? 0, 12))
  write('typeflag', fields.typeflag)
  write('linkname', fields.linkname ?? '')
  write('magic', 'ustar\x0000')
  write('prefix', fields.prefix ?? '')
  for (const field of Object.keys(FIELDS) as HeaderField[]) {
    const value = fields.overrides?.[field]
    if (value !== undefined) write(field, value)
  }
  if (fields.overrides?.checksum === undefined) {
    write('checksum', ' '.repeat(8))
    const sum = block.reduce((total, byte) => total + byte, 0)
    write('checksum', `${sum.toString(8).padStart(6, '0')}\0 `)
  }
  return block
}

function octal(value: number, length: number): string | Buffer {
  const digits = value.toString(8)
  if (value < 0 || digits.length > length - 1) return base256(BigInt(value), length)
  return `${digits.padStart(length - 1, '0')}\0`
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)])
}
