import { CodedError } from '../../../common/errors.ts'
import { type PaxRecords, parsePaxRecords } from './pax-records.ts'
import type { TarEntry, TarEntryType, TarHandler } from './tar-entry.ts'
import { forbiddenEntry, malformed } from './tar-fault.ts'
import { BLOCK_BYTES, decodeName, isZeroBlock, parseHeader, type TarHeader } from './tar-header.ts'

/** Reads an archive that is pushed into it piece by piece. */
export interface TarReader {
  /**
   * Reads the next bytes, calling the handler for whatever they complete.
   *
   * @throws CORRUPT for a malformed archive, INVALID for what no archive may contain; the reader is of no use after
   */
  push(chunk: Uint8Array): void

  /**
   * Says that no more bytes come.
   *
   * @throws CORRUPT when the archive is not complete
   */
  end(): void
}

/** Of a PAX header or a long name. Linux's longest path is 4 KiB; extended attributes of real files make the rest. */
export const MAX_EXTENSION_BYTES = 1024 * 1024

type ExtensionKind = 'pax' | 'ignored' | 'long-path' | 'long-link'

/** What the next bytes are. `zero`: one zero block was read, a second one ends the archive. */
type State = 'header' | 'content' | 'extension' | 'padding' | 'zero' | 'ended'

/**
 * Reads V7, ustar, GNU and PAX archives, without holding content.
 *
 * Where readers are known to disagree, and a file could hide from one that is seen by another, the archive is refused. Global PAX headers are ignored. Bytes after the
 * archive's end are ignored.
 */
export function createTarReader(handler: TarHandler): TarReader {
  const block = Buffer.alloc(BLOCK_BYTES)
  let blockBytes = 0
  let state: State = 'header'
  /** Of the current header, and of the next byte. */
  let headerAt = 0
  let position = 0
  /** Of the content or extension, then its padding. */
  let remaining = 0
  let padding = 0
  let extension: { kind: ExtensionKind; parts: Buffer[] } | undefined
  let pax: PaxRecords | undefined
  let longPath: string | undefined
  let longLink: string | undefined

  const onHeader = (header: Buffer) => {
    if (isZeroBlock(header)) {
      if (hasPending()) throw malformed('an extended header without an entry', headerAt)
      state = state === 'zero' ? 'ended' : 'zero'
      return
    }
    if (state === 'zero') throw malformed('an entry after the end mark', headerAt)
    const parsed = parseHeader(header, headerAt)
    const kind = extensionKind(parsed.typeflag)
    if (kind !== undefined) beginExtension(kind, parsed.size)
    else beginEntry(parsed)
  }

  const hasPending = () => pax !== undefined || longPath !== undefined || longLink !== undefined

  const beginExtension = (kind: ExtensionKind, size: number) => {
    if (size > MAX_EXTENSION_BYTES) {
      throw new CodedError(
        'EXHAUSTED',
        `A PAX header or long name of ${size} bytes is more than ${MAX_EXTENSION_BYTES} (header at byte ${headerAt})`,
      )
    }
    // Python lets the first of two win, Go the second.
    const repeated =
      (kind === 'pax' && pax !== undefined) ||
      (kind === 'long-path' && longPath !== undefined) ||
      (kind === 'long-link' && longLink !== undefined)
    if (repeated) throw malformed('two extended headers of one kind for one entry', headerAt)
    extension = { kind, parts: [] }
    begin('extension', size)
    if (size === 0) endExtension()
  }

  const endExtension = () => {
    if (extension === undefined) return
    const body = Buffer.concat(extension.parts)
    switch (extension.kind) {
      case 'pax':
        pax = parsePaxRecords(body, headerAt)
        break
      case 'long-path':
        longPath = longName(body)
        break
      case 'long-link':
        longLink = longName(body)
        break
      case 'ignored':
        break
    }
    extension = undefined
  }

  const beginEntry = (header: TarHeader) => {
    const ownPath = longPath ?? decodeName(header.path)
    const path = agreed(pax?.path, longPath, 'path') ?? ownPath
    const link = agreed(pax?.linkpath, longLink, 'link') ?? decodeName(header.linkname)
    if (path === undefined) {
      throw forbiddenEntry(Buffer.from(header.path).toString(), 'its name is not valid UTF-8')
    }
    if (link === undefined) throw forbiddenEntry(path, 'its link name is not valid UTF-8')
    if (pax?.sparse !== undefined) {
      throw forbiddenEntry(path, `is a sparse file (PAX "${pax.sparse}"); expected a plain one`)
    }
    const type = entryType(header.typeflag, path)
    // The attack (CVE-2025-62518): a PAX size that one reader applies and another does not, so that content is read as headers.
    const size = contentSize(type, pax?.size ?? header.size, path)
    const entry: TarEntry = {
      type,
      path,
      linkname: type === 'symlink' || type === 'hardlink' ? link : '',
      size: type === 'file' ? size : 0,
      mode: header.mode,
      time: pax?.mtime ?? { seconds: header.mtime, nanoseconds: 0 },
    }
    pax = undefined
    longPath = undefined
    longLink = undefined
    handler.entry(entry)
    begin('content', entry.size)
    if (entry.size === 0) handler.entryEnd()
  }

  const agreed = (a: string | undefined, b: string | undefined, what: string) => {
    if (a !== undefined && b !== undefined && a !== b) {
      throw malformed(`a PAX ${what} and a GNU long ${what} that differ`, headerAt)
    }
    return a ?? b
  }

  const contentSize = (type: TarEntryType, size: number, path: string): number => {
    if (type === 'file' || size === 0) return size
    // All readers take a hard link for empty; for the others, some skip content and some read it as headers.
    if (type === 'hardlink') return 0
    throw malformed(
      `${type} ${JSON.stringify(path.slice(0, 200))} has ${size} bytes of content`,
      headerAt,
    )
  }

  const begin = (next: 'content' | 'extension', size: number) => {
    remaining = size
    padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES
    state = size === 0 ? 'header' : next
  }

  return {
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
      for (let at = 0; at < bytes.length; ) {
        switch (state) {
          case 'header':
          case 'zero': {
            if (blockBytes === 0) headerAt = position + at
            if (blockBytes === 0 && bytes.length - at >= BLOCK_BYTES) {
              const whole = bytes.subarray(at, at + BLOCK_BYTES)
              at += BLOCK_BYTES
              onHeader(whole)
              break
            }
            const taken = bytes.copy(block, blockBytes, at)
            blockBytes += taken
            at += taken
            if (blockBytes === BLOCK_BYTES) {
              blockBytes = 0
              onHeader(block)
            }
            break
          }
          case 'content':
          case 'extension': {
            const part = bytes.subarray(at, at + remaining)
            at += part.length
            remaining -= part.length
            if (state === 'content') handler.content(part)
            else extension?.parts.push(Buffer.from(part))
            if (remaining > 0) break
            if (state === 'content') handler.entryEnd()
            else endExtension()
            state = padding === 0 ? 'header' : 'padding'
            break
          }
          case 'padding': {
            const skipped = Math.min(padding, bytes.length - at)
            at += skipped
            padding -= skipped
            if (padding === 0) state = 'header'
            break
          }
          case 'ended':
            at = bytes.length
            break
        }
      }
      position += bytes.length
    },
    end() {
      // GNU tar, Python and Go all take an archive without its end mark, if it ends between two entries.
      const complete =
        state === 'ended' || ((state === 'header' || state === 'zero') && blockBytes === 0)
      if (!complete) throw malformed(`it ends early, at byte ${position}`, headerAt)
      if (hasPending()) throw malformed('an extended header without an entry', headerAt)
    },
  }
}

/** A long name as GNU writes it: with a NUL at its end. */
function longName(body: Buffer): string {
  const end = body.indexOf(0)
  const bytes = end < 0 ? body : body.subarray(0, end)
  const name = decodeName(bytes)
  if (name === undefined) throw forbiddenEntry(bytes.toString(), 'its name is not valid UTF-8')
  return name
}

function extensionKind(typeflag: string): ExtensionKind | undefined {
  switch (typeflag) {
    case 'x':
    // Solaris's form of it.
    case 'X':
      return 'pax'
    case 'g':
    // A volume's label.
    case 'V':
      return 'ignored'
    case 'L':
      return 'long-path'
    case 'K':
      return 'long-link'
    default:
      return undefined
  }
}

function entryType(typeflag: string, path: string): TarEntryType {
  switch (typeflag) {
    case '0':
    case '\0':
      // V7 had no flag for directories; GNU tar still reads them so.
      return path.endsWith('/') ? 'directory' : 'file'
    // "Contiguous", of real-time systems.
    case '7':
      return 'file'
    case '1':
      return 'hardlink'
    case '2':
      return 'symlink'
    case '3':
      return 'char'
    case '4':
      return 'block'
    case '5':
      return 'directory'
    case '6':
      return 'fifo'
    case 'S':
      throw forbiddenEntry(path, 'is a sparse file; expected a plain one')
    default:
      throw forbiddenEntry(path, `has the unknown type ${JSON.stringify(typeflag)}`)
  }
}
