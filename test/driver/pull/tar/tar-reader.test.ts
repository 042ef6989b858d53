import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../../../common/errors.ts'
import type { TarEntry as Entry } from '../../../../driver/pull/tar/tar-entry.ts'
import { createTarReader, MAX_EXTENSION_BYTES } from '../../../../driver/pull/tar/tar-reader.ts'
import { base256, paxRecords, type TarEntry, tarOf } from '../../../support/tar.ts'
import { thrownBy } from '../../../support/thrown.ts'

type Read = Entry & { readonly content: string }

/** Reads an archive in chunks of the given sizes, again and again; each chunk is wiped after it was pushed. */
function read(archive: Uint8Array, sizes: readonly number[] = [archive.length || 1]): Read[] {
  const entries: Read[] = []
  let current: Entry | undefined
  let parts: Buffer[] = []
  const reader = createTarReader({
    entry(entry) {
      expect(current).toBeUndefined()
      current = entry
      parts = []
    },
    content: (bytes) => parts.push(Buffer.from(bytes)),
    entryEnd() {
      if (current === undefined) throw new Error('entryEnd before entry')
      entries.push({ ...current, content: Buffer.concat(parts).toString('latin1') })
      current = undefined
    },
  })
  for (let at = 0, i = 0; at < archive.length; i++) {
    const chunk = Buffer.from(archive.subarray(at, at + (sizes[i % sizes.length] ?? 1)))
    at += chunk.length
    reader.push(chunk)
    chunk.fill(0xff)
  }
  reader.end()
  return entries
}

const TIME = { seconds: 1_700_000_000, nanoseconds: 0 }

function file(path: string, content = '', rest: Partial<Read> = {}): Read {
  const plain = { type: 'file', linkname: '', mode: 0o644, time: TIME } as const
  return { ...plain, path, content, size: content.length, ...rest }
}

describe('a tar reader', () => {
  const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/f`

  test.for<[string, TarEntry[] | Buffer, Read[]]>([
    ['an empty archive', [], []],
    ['no bytes at all', Buffer.alloc(0), []],
    ['a file', [{ path: 'a', content: 'x' }], [file('a', 'x')]],
    ['a name of 100 bytes', [{ path: 'n'.repeat(100) }], [file('n'.repeat(100))]],
    ['a ustar prefix', [{ path: long, longNames: 'ustar' }], [file(long)]],
    ['a GNU long name', [{ path: long, longNames: 'gnu' }], [file(long)]],
    ['a PAX path', [{ path: long, longNames: 'pax' }], [file(long)]],
    [
      'long link names in both forms',
      [
        { path: 'a', type: 'symlink', linkname: long },
        { path: 'b', type: 'symlink', linkname: long, longNames: 'gnu' },
      ],
      [
        file('a', '', { type: 'symlink', mode: 0o777, linkname: long }),
        file('b', '', { type: 'symlink', mode: 0o777, linkname: long }),
      ],
    ],
    [
      'a GNU header, whose times are no prefix',
      [{ path: 'a', header: { magic: 'ustar  \0', prefix: '14535345434' } }],
      [file('a')],
    ],
    [
      'a V7 header, where a slash makes a directory',
      [{ path: 'd/', typeflag: '\0', header: { magic: '' } }],
      [file('d/', '', { type: 'directory' })],
    ],
    [
      'a base-256 size',
      [{ path: 'a', content: 'xyz', header: { size: base256(3n) } }],
      [file('a', 'xyz')],
    ],
    [
      'a time before 1970',
      [{ path: 'a', header: { mtime: base256(-5n) } }],
      [file('a', '', { time: { seconds: -5, nanoseconds: 0 } })],
    ],
    [
      'PAX times to the nanosecond',
      [
        { path: 'a', pax: { mtime: '1.123456789123' } },
        { path: 'b', pax: { mtime: '-1.5' } },
      ],
      [
        file('a', '', { time: { seconds: 1, nanoseconds: 123_456_789 } }),
        file('b', '', { time: { seconds: -2, nanoseconds: 500_000_000 } }),
      ],
    ],
    [
      'numbers padded with blanks, and empty ones',
      [{ path: 'a', header: { mode: '   644 \0', mtime: '' } }],
      [file('a', '', { time: { seconds: 0, nanoseconds: 0 } })],
    ],
    [
      'an empty PAX value as none',
      [{ path: 'a', pax: { path: '', 'SCHILY.xattr.user.x': 'y', comment: '' } }],
      [file('a')],
    ],
    [
      'a hard link without its size',
      [{ path: 'a', type: 'hardlink', linkname: 'b', header: { size: '00000000777\0' } }],
      [file('a', '', { type: 'hardlink', linkname: 'b' })],
    ],
    [
      'nothing of a global PAX header',
      [
        { path: 'g', typeflag: 'g', content: paxRecords({ path: 'evil', size: '7', mtime: '1' }) },
        { path: 'a', content: 'x' },
      ],
      [file('a', 'x')],
    ],
    ['nothing of a volume label', [{ path: 'label', typeflag: 'V' }, { path: 'a' }], [file('a')]],
    [
      'nothing behind the end mark',
      Buffer.concat([tarOf([{ path: 'a' }]), Buffer.from('what follows')]),
      [file('a')],
    ],
    [
      'an archive without its end mark, as GNU tar does',
      tarOf([{ path: 'a', content: 'x' }], { trailer: false }),
      [file('a', 'x')],
    ],
    [
      'a signed checksum',
      tarOf([{ path: 'é', header: { checksum: signedChecksum('é') } }]),
      [file('é')],
    ],
  ])('reads %s', ([, archive, entries]) => {
    const bytes = Buffer.isBuffer(archive) ? archive : tarOf(archive)
    expect(read(bytes)).toEqual(entries)
    expect(read(bytes, [1])).toEqual(entries)
  })

  const bad = (header: TarEntry['header']): TarEntry[] => [
    { path: 'a', ...(header !== undefined && { header }) },
  ]
  const at0 = '(header at byte 0)'

  test.for<[string, TarEntry[] | Buffer, string]>([
    [
      'a wrong checksum',
      bad({ checksum: '000001\0 ' }),
      'CORRUPT Malformed tar archive: header checksum is 1, expected 3168; is it a tar archive? (header at byte 0)',
    ],
    [
      'text',
      Buffer.from('no archive\n'.repeat(100)),
      'CORRUPT Malformed tar archive: checksum "chive\\nno" is not an octal number; is it a tar archive? (header at byte 0)',
    ],
    [
      'a size that is not a number',
      bad({ size: 'abc' }),
      `CORRUPT Malformed tar archive: size "abc\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000" is not an octal number ${at0}`,
    ],
    [
      'a negative size',
      bad({ size: '-0000000001\0' }),
      `CORRUPT Malformed tar archive: size "-0000000001\\u0000" is not an octal number ${at0}`,
    ],
    [
      'a negative base-256 size',
      bad({ size: base256(-512n) }),
      `CORRUPT Malformed tar archive: size -512 is not within 0 to 2^53 ${at0}`,
    ],
    [
      'a size beyond 2^53',
      bad({ size: base256(1n << 54n) }),
      `CORRUPT Malformed tar archive: size 18014398509481984 is not within 0 to 2^53 ${at0}`,
    ],
    [
      'a PAX size beyond 2^53',
      [{ path: 'a', pax: { size: '99999999999999999999' } }],
      `CORRUPT Malformed tar archive: PAX size "99999999999999999999" is not within 0 to 2^53 ${at0}`,
    ],
    [
      'a negative PAX size',
      [{ path: 'a', pax: { size: '-1' } }],
      `CORRUPT Malformed tar archive: PAX size "-1" is not within 0 to 2^53 ${at0}`,
    ],
    [
      'a PAX time that is not a number',
      [{ path: 'a', pax: { mtime: 'NaN' } }],
      `CORRUPT Malformed tar archive: PAX mtime "NaN" is not a number ${at0}`,
    ],
    [
      'a PAX record with a wrong length',
      [{ path: 'x', typeflag: 'x', content: '99 path=a\n' }, { path: 'a' }],
      `CORRUPT Malformed tar archive: a PAX record has a wrong length ${at0}`,
    ],
    [
      'a PAX record without a key',
      [{ path: 'x', typeflag: 'x', content: '5 =a\n' }, { path: 'a' }],
      `CORRUPT Malformed tar archive: a PAX record has no key ${at0}`,
    ],
    [
      'a PAX header of more than 1 MiB',
      [{ path: 'x', typeflag: 'x', header: { size: '00010000000\0' } }],
      'EXHAUSTED A PAX header or long name of 2097152 bytes is more than 1048576 (header at byte 0)',
    ],
    [
      'a long name of more than 1 MiB',
      [{ path: 'x', typeflag: 'L', header: { size: base256(1n << 40n) } }],
      'EXHAUSTED A PAX header or long name of 1099511627776 bytes is more than 1048576 (header at byte 0)',
    ],
    [
      'two PAX headers for one entry, of which readers take different ones',
      [
        { path: 'x', typeflag: 'x', content: paxRecords({ path: 'a' }) },
        { path: 'c', pax: { path: 'b' } },
      ],
      'CORRUPT Malformed tar archive: two extended headers of one kind for one entry (header at byte 1024)',
    ],
    [
      'a PAX path and a GNU long name that differ',
      [
        { path: 'x', typeflag: 'L', content: 'one\0' },
        { path: 'c', pax: { path: 'two' } },
      ],
      'CORRUPT Malformed tar archive: a PAX path and a GNU long path that differ (header at byte 2048)',
    ],
    [
      'an extended header without an entry',
      [{ path: 'x', typeflag: 'x', content: paxRecords({ path: 'a' }) }],
      'CORRUPT Malformed tar archive: an extended header without an entry (header at byte 1024)',
    ],
    [
      'a directory with content, which some readers skip and some read as headers',
      [{ path: 'd/', type: 'directory', content: tarOf([{ path: 'hidden' }], { trailer: false }) }],
      `CORRUPT Malformed tar archive: directory "d/" has 512 bytes of content ${at0}`,
    ],
    [
      'an entry after one zero block',
      Buffer.concat([Buffer.alloc(512), tarOf([{ path: 'a' }])]),
      'CORRUPT Malformed tar archive: an entry after the end mark (header at byte 512)',
    ],
    [
      'a GNU sparse file',
      [{ path: 'a', typeflag: 'S' }],
      'INVALID Entry "a": is a sparse file; expected a plain one',
    ],
    [
      'a PAX sparse file',
      [{ path: 'a', pax: { 'GNU.sparse.major': '1' } }],
      'INVALID Entry "a": is a sparse file (PAX "GNU.sparse.major"); expected a plain one',
    ],
    [
      'an entry of an unknown type',
      [{ path: 'a', typeflag: 'M' }],
      'INVALID Entry "a": has the unknown type "M"',
    ],
    [
      'a name that is not UTF-8',
      [{ path: Buffer.from([0x61, 0xff]) }],
      'INVALID Entry "a\ufffd": its name is not valid UTF-8',
    ],
    [
      'a link name that is not UTF-8',
      [{ path: 'a', type: 'symlink', linkname: Buffer.from([0xc0, 0xaf]) }],
      'INVALID Entry "a": its link name is not valid UTF-8',
    ],
  ])('refuses %s', ([, archive, message]) => {
    const bytes = Buffer.isBuffer(archive) ? archive : tarOf(archive)
    expect(thrownBy(() => read(bytes))).toBe(message)
  })

  test('applies a PAX size to its own entry only, and not to a long name between (CVE-2025-62518)', () => {
    const hidden = tarOf([{ path: 'hidden', content: 'x' }], { trailer: false })
    const archive = tarOf([
      { path: 'x', typeflag: 'x', content: paxRecords({ size: String(hidden.length) }) },
      { path: 'L', typeflag: 'L', content: 'outer\0' },
      { path: 'o', content: hidden, header: { size: '00000000000\0' } },
      { path: 'after', content: 'y' },
    ])
    expect(read(archive)).toEqual([file('outer', hidden.toString('latin1')), file('after', 'y')])
  })

  test('refuses an archive that ends within an entry, wherever it is cut', () => {
    const archive = tarOf([{ path: 'n'.repeat(200), content: 'x'.repeat(1000) }], {
      trailer: false,
    })
    for (let length = 1; length < archive.length; length += 73) {
      expect(thrownBy(() => read(archive.subarray(0, length)))).toMatch(
        /^CORRUPT Malformed tar archive: /,
      )
    }
    expect(thrownBy(() => read(archive.subarray(0, archive.length - 1)))).toBe(
      `CORRUPT Malformed tar archive: it ends early, at byte ${archive.length - 1} (header at byte 1024)`,
    )
  })

  test('reads what was written, in chunks of any sizes', () => {
    const name = fc
      .array(
        fc.string({
          unit: fc.constantFrom('a', 'B', '.', ' ', 'é', '模'),
          minLength: 1,
          maxLength: 120,
        }),
        {
          minLength: 1,
          maxLength: 4,
        },
      )
      .map((parts) => parts.join('/'))
    const seconds = fc.integer({ min: -1000, max: 2 ** 35 })
    const entry = fc.record({
      path: name,
      type: fc.constantFrom('file', 'directory', 'symlink', 'hardlink', 'fifo', 'char', 'block'),
      content: fc.string({ unit: fc.constantFrom('x', '\0'), maxLength: 1600 }),
      linkname: name,
      mode: fc.integer({ min: 0, max: 0o7777 }),
      mtime: seconds,
      longNames: fc.constantFrom('pax', 'gnu'),
    } as const)
    const sizes = fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 10 })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), sizes, (generated, chunkSizes) => {
        const entries = generated.map((e) => ({
          ...e,
          content: e.type === 'file' ? e.content : '',
        }))
        const expected = entries.map(({ path, type, content, linkname, mode, mtime }) => ({
          path,
          type: type === 'file' && path.endsWith('/') ? 'directory' : type,
          linkname: type === 'symlink' || type === 'hardlink' ? linkname : '',
          size: content.length,
          mode,
          time: { seconds: mtime, nanoseconds: 0 },
          content,
        }))
        expect(read(tarOf(entries), chunkSizes)).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })

  test('throws nothing but its own errors for damaged archives', () => {
    const archive = tarOf([
      { path: 'd/', type: 'directory' },
      { path: `d/${'n'.repeat(150)}`, content: 'x'.repeat(700), pax: { mtime: '1.5' } },
      { path: 'l', type: 'symlink', linkname: 'm'.repeat(150), longNames: 'gnu' },
    ])
    const damage = fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { maxLength: 6 })
    fc.assert(
      fc.property(damage, fc.boolean(), (changes, fixChecksums) => {
        const damaged = Buffer.from(archive)
        for (const [offset, byte] of changes) damaged[offset] = byte
        if (fixChecksums) repairChecksums(damaged)
        try {
          read(damaged, [512, 100])
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('takes extension headers of up to 1 MiB', () => {
    const value = 'v'.repeat(MAX_EXTENSION_BYTES - 100)
    expect(read(tarOf([{ path: 'a', pax: { comment: value } }]), [65_536])).toEqual([file('a')])
  })
})

/** The checksum field of a file `path` as summed over signed bytes. */
function signedChecksum(path: string): string {
  const header = tarOf([{ path }]).subarray(0, 512)
  const high = header.reduce((count, byte) => count + (byte > 127 ? 1 : 0), 0)
  const sum = Number.parseInt(header.toString('latin1', 148, 154), 8) - 256 * high
  return `${sum.toString(8).padStart(6, '0')}\0 `
}

/** Makes every block that looks like a header's one by its checksum, so that damage gets further. */
function repairChecksums(archive: Buffer): void {
  for (let at = 0; at < archive.length; at += 512) {
    const block = archive.subarray(at, at + 512)
    if (block.toString('latin1', 257, 262) !== 'ustar') continue
    block.fill(' ', 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  }
}
