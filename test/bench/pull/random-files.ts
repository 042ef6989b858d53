import { randomBytes } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const CHUNK_BYTES = 8 * 2 ** 20

/** What is written into a file: `random` does not compress; of `half`, every second piece is text, which compresses to some two thirds. */
export type Filling = 'random' | 'half'

/** Writes a file of so many bytes that no other has. */
export async function writeRandomFile(
  path: string,
  bytes: number,
  filling: Filling = 'random',
): Promise<void> {
  await using file = await open(path, 'w')
  for (let written = 0, chunk = 0; written < bytes; chunk += 1) {
    const length = Math.min(CHUNK_BYTES, bytes - written)
    const isText = filling === 'half' && chunk % 2 === 1
    await file.writeFile(isText ? randomText(length) : randomBytes(length))
    written += length
  }
}

/** How large the small files are. Two KiB on average, as in source trees and installed packages. */
const MIN_SMALL_BYTES = 512
const MAX_SMALL_BYTES = 3_584

/** The size of the small file of this number. The step shares no divisor with the span: every size comes. */
export function smallFileBytes(index: number): number {
  return MIN_SMALL_BYTES + ((index * 977) % (MAX_SMALL_BYTES - MIN_SMALL_BYTES))
}

/** Writes many small text files, a hundred to a directory. */
export async function writeSmallFiles(directory: string, count: number): Promise<void> {
  const text = randomText(2 ** 20)
  for (let index = 0; index < count; index += 1) {
    const folder = join(directory, `part-${Math.floor(index / 100)}`)
    if (index % 100 === 0) await mkdir(folder, { recursive: true })
    const start = (index * 7919) % (text.length - MAX_SMALL_BYTES)
    const content = text.subarray(start, start + smallFileBytes(index))
    await writeFile(join(folder, `file-${index}.txt`), content)
  }
}

const ALPHABET = Buffer.from('abcdefghijklmnopqrstuvwxyz0123456789')

function randomText(length: number): Buffer {
  const text = randomBytes(length)
  for (let index = 0; index < length; index += 1) {
    text[index] = ALPHABET[(text[index] ?? 0) % ALPHABET.length] ?? 0
  }
  return text
}
