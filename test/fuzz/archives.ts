import { base256, paxRecords, type TarEntry, tarOf } from '../support/tar.ts'
import type { Random } from './random.ts'

const BLOCK_BYTES = 512

const CONTENTS: readonly (readonly TarEntry[])[] = [
  [],
  [{ path: 'f', content: 'content' }],
  [
    { path: 'd/', type: 'directory' },
    { path: 'd/f', content: 'x'.repeat(700), mode: 0o4755 },
    { path: 'd/l', type: 'symlink', linkname: '../d/f' },
    { path: 'h', type: 'hardlink', linkname: 'd/f' },
  ],
  [
    { path: `${'n'.repeat(120)}/f`, content: 'x', mtime: 1.5 },
    { path: `${'g'.repeat(120)}/f`, content: 'x', longNames: 'gnu' },
    { path: `${'u'.repeat(90)}/${'u'.repeat(90)}`, longNames: 'ustar' },
    { path: 'l', type: 'symlink', linkname: 'm'.repeat(150), longNames: 'gnu' },
  ],
  [
    { path: 'a', content: 'xyz', header: { size: base256(3n), mtime: base256(-5n) } },
    { path: 'g', typeflag: 'g', content: paxRecords({ comment: 'x' }) },
    { path: 'x', typeflag: 'x', content: paxRecords({ size: '3', path: 'p' }) },
    { path: 'o', content: 'abc' },
  ],
  [
    { path: 'd/.wh.f' },
    { path: 'd/.wh..wh..opq' },
    { path: '.wh..wh.plnk' },
    { path: 'null', type: 'char' },
  ],
  [{ path: 's', typeflag: 'S' }],
]

/** Archives of every form there is, to be mutated. */
export const ARCHIVES: readonly Buffer[] = CONTENTS.map((entries) => tarOf(entries))

const NAMES = [
  ...['a', 'b', 'a/b', 'b/a', 'a/b/c', 'b/c', 'c', 'c/', './', '/', '.', 'a/', 'a//b', 'a/./b'],
  ...['..', '../x', 'a/..', 'a/../b', '/abs', '', '.wh.a', 'a/.wh.b', '.wh..wh..opq'],
  ...['a/.wh..wh..opq', '.wh.', '.wh...', '.wh.c/x', 'a\0b', 'é', 'n'.repeat(300), 'd/'.repeat(70)],
]
const TARGETS = [
  ...['a', 'b', 'a/b', '..', '../a', '../..', '../../..', '/', '/a', '/etc', 'a/..', 'b/../..'],
  ...[
    '.',
    '',
    'c/../../b',
    './..',
    '/proc/self/root',
    'a/../a/x',
    '../../../canary',
    'b/c/../../..',
  ],
]
const TYPES = ['file', 'file', 'directory', 'symlink', 'symlink', 'hardlink', 'fifo'] as const
const MODES = [0o644, 0o755, 0, 0o7777, 0o600]

/** An archive whose entries collide, link to each other and try to leave. */
export function hostileArchive(random: Random): Buffer {
  const entries = Array.from({ length: 1 + random.integer(12) }, (): TarEntry => {
    const type = random.pick(TYPES)
    const isLink = type === 'symlink' || type === 'hardlink'
    return {
      path: random.pick(random.integer(3) === 0 ? NAMES : NAMES.slice(0, 8)),
      type,
      mode: random.pick(MODES),
      mtime: random.integer(2 ** 31) - 2 ** 30,
      ...(isLink && { linkname: random.pick(type === 'symlink' ? TARGETS : NAMES) }),
      ...(type === 'file' && { content: 'x'.repeat(random.integer(600)) }),
      ...(random.integer(8) === 0 && { pax: { path: random.pick(NAMES) } }),
    }
  })
  return tarOf(entries)
}

/** Makes every block that looks like a header one by its checksum, so that damage gets further. */
export function repairChecksums(archive: Buffer): void {
  for (let at = 0; at + BLOCK_BYTES <= archive.length; at += BLOCK_BYTES) {
    const block = archive.subarray(at, at + BLOCK_BYTES)
    if (block.toString('latin1', 257, 262) !== 'ustar') continue
    block.fill(' ', 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  }
}
