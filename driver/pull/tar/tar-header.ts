import { isUtf8 } from 'node:buffer'
import { malformed } from './tar-fault.ts'

export const BLOCK_BYTES = 512

/** The fields of a header block that are read, before extended headers are applied. */
export interface TarHeader {
  readonly typeflag: string
  readonly path: Uint8Array
  readonly linkname: Uint8Array
  readonly size: number
  readonly mode: number
  readonly mtime: number
}

/**
 * Reads a header block: V7, ustar, GNU or star.
 *
 * @param at the block's offset in the archive, for messages
 * @throws CORRUPT when the checksum or a number is wrong
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
 */
export function parseHeader(block: Buffer, at: number): TarHeader {
  checkChecksum(block, at)
  const name = text(block, 0, 100)
  const prefix = prefixOf(block)
  return {
    typeflag: String.fromCharCode(block[156] ?? 0),
    path: prefix.length === 0 ? name : Buffer.concat([prefix, SLASH, name]),
    linkname: text(block, 157, 100),
    size: parseNumber(block.subarray(124, 136), 'size', at, 0),
    mode: parseNumber(block.subarray(100, 108), 'mode', at, 0) & 0o7777,
    mtime: parseNumber(block.subarray(136, 148), 'mtime', at, Number.MIN_SAFE_INTEGER),
  }
}

/** Answers whether all bytes of a block are zero, as at the end of an archive. */
export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.equals(ZERO_BLOCK)
}

/**
 * Decodes a name. Names are bytes; those that are no UTF-8 are undefined, never replaced by others.
 */
export function decodeName(bytes: Uint8Array): string | undefined {
  return isUtf8(bytes)
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
    : undefined
}

const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES)
const SLASH = Buffer.from('/')
const POSIX_MAGIC = 'ustar\x00'
const SPACE = 0x20

function prefixOf(block: Buffer): Buffer {
  // GNU's own magic ("ustar  ") has times where POSIX has the prefix.
  if (block.toString('latin1', 257, 263) !== POSIX_MAGIC) return ZERO_BLOCK.subarray(0, 0)
  // star keeps times in the last 24 bytes of the prefix.
  const isStar = block.toString('latin1', 508, 512) === 'tar\x00'
  return text(block, 345, isStar ? 131 : 155)
}

function text(block: Buffer, offset: number, length: number): Buffer {
  const field = block.subarray(offset, offset + length)
  const end = field.indexOf(0)
  // A copy: the block is reused.
  return Buffer.from(end < 0 ? field : field.subarray(0, end))
}

function checkChecksum(block: Buffer, at: number): void {
  const stated = parseNumber(block.subarray(148, 156), 'checksum', at, 0)
  let unsigned = 0
  let signed = 0
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const byte = i >= 148 && i < 156 ? SPACE : (block[i] ?? 0)
    unsigned += byte
    signed += byte < 128 ? byte : byte - 256
  }
  // Some old tars summed signed bytes; POSIX lets a reader take both.
  if (stated === unsigned || stated === signed) return
  throw malformed(`header checksum is ${stated}, expected ${unsigned}${hintAt(at)}`, at)
}

/** The first header is where something else than an archive is found out. */
function hintAt(at: number): string {
  return at === 0 ? '; is it a tar archive?' : ''
}

/** Reads an octal number with blanks or NULs around it, or a GNU base-256 one. Nothing at all is 0. */
function parseNumber(field: Buffer, name: string, at: number, min: number): number {
  const first = field[0] ?? 0
  const value = (first & 0x80) === 0 ? parseOctal(field, name, at) : parseBase256(field)
  if (value < min || value > Number.MAX_SAFE_INTEGER) {
    throw malformed(`${name} ${value} is not within ${min} to 2^53`, at)
  }
  return value
}

function parseOctal(field: Buffer, name: string, at: number): number {
  let value = 0
  let i = 0
  while (field[i] === SPACE) i++
  for (; i < field.length; i++) {
    const digit = (field[i] ?? 0) - 0x30
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  for (; i < field.length; i++) {
    if (field[i] !== SPACE && field[i] !== 0) {
      const hint = name === 'checksum' ? hintAt(at) : ''
      const text = JSON.stringify(field.toString('latin1'))
      throw malformed(`${name} ${text} is not an octal number${hint}`, at)
    }
  }
  return value
}

function parseBase256(field: Buffer): number {
  // Two's complement; the top bit only marks the form, the next one is the sign.
  const negative = ((field[0] ?? 0) & 0x40) !== 0
  let value = (field[0] ?? 0) & 0x7f
  if (negative) value -= 0x80
  for (let i = 1; i < field.length; i++) value = value * 256 + (field[i] ?? 0)
  return value
}
