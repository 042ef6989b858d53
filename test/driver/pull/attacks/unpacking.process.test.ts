import { createHash } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { systemCall } from '../../../../driver/linux/libc.ts'
import { artifact, type Built, image, type Layer } from '../../../support/artifact.ts'
import { mountsAt, whyNoMounts } from '../../../support/mounts.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import { base256, paxRecords, type TarEntry, tarOf } from '../../../support/tar.ts'
import { type AttackedNode, type Canary, startAttackedNode } from './attacked-node.ts'

const why = await whyNoMounts()
let node: AttackedNode
beforeAll(async () => {
  if (why === undefined) node = await startAttackedNode()
})
afterAll(() => node?.[Symbol.asyncDispose]())

const T = '@1700000000'

type Entries = readonly TarEntry[]

function link(path: string, linkname: string): TarEntry {
  return { path, type: 'symlink', linkname }
}

function hardLink(path: string, linkname: string): TarEntry {
  return { path, type: 'hardlink', linkname }
}

function directory(path: string): TarEntry {
  return { path, type: 'directory' }
}

function archive(content: Uint8Array): Layer {
  return { content }
}

/** Untitled archives of an artifact, in order. */
function artifactOf(...layers: readonly (Entries | Buffer)[]): Built {
  return artifact({
    layers: layers.map((layer) => archive(Buffer.isBuffer(layer) ? layer : tarOf(layer))),
  })
}

function imageOf(...layers: readonly Entries[]): Built {
  return image({ layers: layers.map((entries) => tarOf(entries)) })
}

describe("an artifact's links", () => {
  test.for<[string, (canary: Canary) => readonly Entries[], string]>([
    [
      'out of the tree, and a file through it',
      ({ fromTree }) => [[link('l', fromTree), { path: 'l/secret', content: 'x' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a symbolic link to "../../../../../../../canary", which leaves the artifact',
    ],
    [
      'to an absolute path, and a file through it',
      ({ path }) => [[link('l', path), { path: 'l/secret', content: 'x' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a symbolic link to the absolute path "CANARY"; expected one that stays in the artifact',
    ],
    [
      'that replaces the directory a file then goes to',
      ({ fromTree }) => [[directory('d'), link('d', fromTree), { path: 'd/secret', content: 'x' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "d": is a symbolic link to "../../../../../../../canary", which leaves the artifact',
    ],
    [
      'that stays inside, and a file through it (CVE-2026-85731)',
      () => [[directory('d'), link('l', 'd'), { path: 'l/f', content: 'x' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l/f": its parent "l" is, or is below, a file or symbolic link; expected a directory',
    ],
    [
      'that one layer plants and the next writes through (CVE-2025-45582)',
      () => [[directory('d'), link('l', 'd')], [{ path: 'l/f', content: 'x' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l/f": its parent "l" is, or is below, a file or symbolic link; expected a directory',
    ],
    [
      'that is a file to one layer and a directory to the next',
      ({ fromTree }) => [[{ path: 'a', content: 'x' }], [link('a', `d/../${fromTree}`)]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "a": is a symbolic link to "d/../../../../../../../../canary", which leaves the artifact',
    ],
    [
      'in a chain, each harmless by its text',
      ({ fromTree }) => [[link('a/up', '..'), link('a/out', `up/${fromTree}`)]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "a/out": is a symbolic link to "up/../../../../../../../canary", which leaves the artifact',
    ],
    [
      'in the same chain, the other one planted later',
      () => [[link('a/out', 'up/../canary')], [link('a/up', '..')]],
      'INVALID_ARGUMENT Cannot use "REF": entry "a/out": is a symbolic link to "up/../canary", which may leave the artifact; expected no ".." behind another link or a name that is not there',
    ],
    [
      'to nothing',
      () => [[{ path: 'l', type: 'symlink', linkname: '' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a symbolic link to nothing',
    ],
    [
      'with a NUL that hides the end of its target',
      () => [[{ path: 'l', type: 'symlink', linkname: 'a', pax: { linkpath: 'a\0b' } }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a symbolic link to a name with a control character',
    ],
    [
      'to a file of the host by a hard link (CVE-2026-50163)',
      ({ path }) => [[hardLink('l', `${path}/secret`)]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": its link name is absolute; expected a relative path',
    ],
    [
      'to a file above the tree by a hard link, and then its content',
      ({ fromTree }) => [[hardLink('l', `${fromTree}/secret`), { path: 'l', content: 'x' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": its link name has ".." in it',
    ],
    [
      'to a symbolic link by a hard link',
      () => [[link('s', 'f'), { path: 'f' }, hardLink('l', 's')]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a hard link to "s", which is no regular file; expected a file that comes before it',
    ],
    [
      'through a symbolic link by a hard link',
      () => [[directory('d'), { path: 'd/f' }, link('s', 'd'), hardLink('l', 's/f')]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a hard link to "s/f", which is not there; expected a file that comes before it',
    ],
    [
      'to a directory by a hard link',
      () => [[directory('d'), hardLink('l', 'd')]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a hard link to "d", which is no regular file; expected a file that comes before it',
    ],
    [
      'to what is not there by a hard link',
      () => [[hardLink('l', 'gone')]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a hard link to "gone", which is not there; expected a file that comes before it',
    ],
    [
      'to itself by a hard link',
      () => [[hardLink('l', 'l')]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a hard link to "l", which is not there; expected a file that comes before it',
    ],
  ])('%s: refused', async ([, layers, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal((canary) => artifactOf(...layers(canary)))).toBe(message)
  })

  test('to a blob of the store, and then other content: the blob stays as it was', async (context) => {
    skipUnless(context, why)
    const content = 'content of the store'
    const attack = artifact({
      layers: [
        { title: 'a', content },
        { title: 'b', content },
        archive(tarOf([hardLink('h', 'a'), { path: 'a', content: 'evil', mode: 0o777 }])),
        archive(tarOf([hardLink('i', 'b'), { path: 'i', content: 'more evil', mode: 0o777 }])),
      ],
    })
    expect(await node.tree(attack)).toEqual({
      '.': 'directory 755',
      a: `file 755 ${T} evil`,
      b: `file 444 ${content}`,
      h: `file 444 ${content}`,
      i: `file 755 ${T} more evil`,
    })
  })
})

describe("an image's links lead nowhere but into its own root", () => {
  test.for<[string, (canary: Canary) => readonly Entries[], Record<string, string>]>([
    [
      'a relative one out, and a file through it',
      ({ fromTree }) => [[link('l', fromTree)], [{ path: 'l/secret', content: 'x' }]],
      {
        canary: 'directory 755',
        'canary/secret': `file 644 ${T} x`,
        l: 'link -> FROM-TREE',
      },
    ],
    [
      'an absolute one to the host, and a file through it',
      () => [[link('l', '/etc')], [{ path: 'l/passwd', content: 'x' }]],
      { etc: 'directory 755', 'etc/passwd': `file 644 ${T} x`, l: 'link -> /etc' },
    ],
    [
      'one to /proc/self/root, and a file through it',
      () => [[link('l', '/proc/self/root')], [{ path: 'l/f', content: 'x' }]],
      {
        l: 'link -> /proc/self/root',
        proc: 'directory 755',
        'proc/self': 'directory 755',
        'proc/self/root': 'directory 755',
        'proc/self/root/f': `file 644 ${T} x`,
      },
    ],
    [
      'one out, and a whiteout and an opaque mark through it',
      ({ fromTree }) => [
        [link('l', fromTree), { path: 'f' }],
        [{ path: 'l/.wh.secret' }, { path: 'l/.wh..wh..opq' }],
      ],
      { f: `file 644 ${T} `, l: 'link -> FROM-TREE' },
    ],
    [
      'one out, and then a directory of its name with a mode',
      ({ fromTree }) => [[link('l', fromTree)], [{ ...directory('l'), mode: 0o777 }]],
      { l: `directory 755 ${T}` },
    ],
    [
      'one to the kernel, by a hard link of the link',
      () => [[link('s', '/proc/self/exe'), hardLink('h', 's')]],
      { h: 'link -> /proc/self/exe', s: 'link -> /proc/self/exe' },
    ],
  ])('%s', async ([, layers, tree], context) => {
    skipUnless(context, why)
    const { fromTree } = node.canary
    const found = await node.tree((canary) => imageOf(...layers(canary)))
    const shown = Object.entries(found).map(([path, entry]) => [
      path,
      entry.replace(fromTree, 'FROM-TREE'),
    ])
    expect(Object.fromEntries(shown)).toEqual({ '.': 'directory 755', ...tree })
  })

  test.for<[string, (canary: Canary) => readonly Entries[], string]>([
    [
      'a hard link through a symbolic link out',
      ({ fromTree }) => [[link('l', fromTree), hardLink('h', 'l/secret')]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "h": is a hard link to "l/secret", which is not there; expected a file that comes before it',
    ],
    [
      'a hard link to an absolute path',
      ({ path }) => [[hardLink('h', `${path}/secret`)]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "h": its link name is absolute; expected a relative path',
    ],
    [
      'a loop of symbolic links',
      () => [[link('a', 'b'), link('b', 'a'), { path: 'a/f' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "a/f": its parent "a" is, or is below, a file or symbolic link; expected a directory',
    ],
    [
      'a dangling link that names ever new ones',
      () => [[link('a', 'a/../a/x'), { path: 'a/f' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "a/f": its parent "a" is, or is below, a file or symbolic link; expected a directory',
    ],
    [
      'a NUL that hides the end of a target',
      () => [[{ path: 'l', type: 'symlink', linkname: 'a', pax: { linkpath: 'a\0b' } }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a symbolic link to a name with a control character',
    ],
    [
      'a symbolic link to nothing',
      () => [[{ path: 'l', type: 'symlink', linkname: '' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "l": is a symbolic link to nothing',
    ],
    [
      'a whiteout of ".."',
      () => [[{ path: 'd/f' }], [{ path: 'd/.wh...' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "d/.wh...": is a whiteout of ".."; expected a name',
    ],
    [
      'a whiteout of "."',
      () => [[{ path: 'd/f' }], [{ path: 'd/.wh..' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "d/.wh..": is a whiteout of "."; expected a name',
    ],
    [
      'a whiteout of nothing',
      () => [[{ path: 'd/f' }], [{ path: 'd/.wh.' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "d/.wh.": is a whiteout of ""; expected a name',
    ],
    [
      'entries below a whiteout',
      () => [[{ path: '.wh.d/f', content: 'x' }]],
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry ".wh.d/f": it is below a whiteout file',
    ],
  ])('%s: refused', async ([, layers, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal((canary) => imageOf(...layers(canary)))).toBe(message)
  })
})

describe('what an entry may be', () => {
  test.for<[string, TarEntry, string]>([
    [
      'a character device',
      { path: 'null', type: 'char' },
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "null": is a character device; expected files, directories and links',
    ],
    [
      'a block device, to read the disk',
      { path: 'sda', type: 'block' },
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "sda": is a block device; expected files, directories and links',
    ],
    [
      'a FIFO, which hangs who opens it',
      { path: 'fifo', type: 'fifo' },
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "fifo": is a FIFO; expected files, directories and links',
    ],
    [
      'a sparse file of GNU',
      { path: 'f', typeflag: 'S' },
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "f": is a sparse file; expected a plain one',
    ],
    [
      'a sparse file of PAX',
      { path: 'f', pax: { 'GNU.sparse.major': '1' } },
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "f": is a sparse file (PAX "GNU.sparse.major"); expected a plain one',
    ],
    [
      'an entry of a type nobody knows',
      { path: 'f', typeflag: 'Q' },
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "f": has the unknown type "Q"',
    ],
    [
      'a file in the place of the root',
      { path: './', typeflag: '7', content: 'x' },
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "./": its name is the root\'s; expected a directory there',
    ],
  ])('not %s', async ([, entry, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal(artifactOf([entry]))).toBe(message)
  })

  test('devices and FIFOs of an image are left out, but sparse files refused', async (context) => {
    skipUnless(context, why)
    const special = (['char', 'block', 'fifo'] as const).map((type) => ({ path: type, type }))
    expect(await node.tree(imageOf([...special, { path: 'f' }]))).toEqual({
      '.': 'directory 755',
      f: `file 644 ${T} `,
    })
    expect(await node.refusal(imageOf([{ path: 'f', typeflag: 'S' }]))).toBe(
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "f": is a sparse file; expected a plain one',
    )
  })

  const SET_IDS: Entries = [
    { path: 'su', content: '#!', mode: 0o6755, uid: 1000, gid: 1000 },
    { ...directory('d'), mode: 0o3777 },
  ]

  test.for([
    ['an artifact', () => artifactOf(SET_IDS)],
    ['an image', () => imageOf(SET_IDS)],
  ] as const)(
    'setuid, setgid and sticky of %s are gone, its owner is root, and the mount would ignore them',
    async ([, make], context) => {
      skipUnless(context, why)
      await node.published(make(), async (target) => {
        const found = ['su', 'd'].map((name) => {
          const { mode, uid, gid } = lstatSync(join(target, name))
          return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`
        })
        expect(found).toEqual(['755 0:0', '755 0:0'])
        const [mount] = await mountsAt(target)
        expect(mount?.options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']))
      })
    },
  )

  test('extended attributes are dropped: no capability comes with a file', async (context) => {
    skipUnless(context, why)
    // cap_setuid=ep, as setcap writes it.
    const capability = Buffer.from('AQAAAoAAAAAAAAAAAAAAAAAAAAA=', 'base64').toString('latin1')
    const pax = {
      'SCHILY.xattr.security.capability': capability,
      'SCHILY.xattr.user.note': 'x',
      'LIBARCHIVE.xattr.user.note': 'eA',
    }
    await node.published(imageOf([{ path: 'f', content: 'x', pax }]), (target) => {
      expect(attributesOf(join(target, 'f'))).toEqual([])
    })
    expect(attributesOf(process.execPath)).toEqual([])
  })
})

/** The names of a file's extended attributes, its label for SELinux apart. */
function attributesOf(path: string): string[] {
  const number = process.arch === 'arm64' ? 12 : 194
  const llistxattr = systemCall('llistxattr', number, ['const char *', 'void *', 'size_t'])
  const buffer = Buffer.alloc(4096)
  const length = llistxattr(path, buffer, buffer.length)
  const names = buffer.toString('utf8', 0, length).split('\0')
  return names.filter((name) => name !== '' && name !== 'security.selinux')
}

describe('a malformed archive', () => {
  const file = (header: TarEntry['header']): Buffer =>
    tarOf([{ path: 'f', ...(header !== undefined && { header }) }])
  const whole = tarOf([{ path: 'f', content: 'x'.repeat(1000) }])
  const zipped = gzipSync(Buffer.concat([whole, Buffer.alloc(10_000, 'behind the end')]))
  const damaged = Buffer.from(zipped)
  damaged[zipped.length - 6] = (damaged[zipped.length - 6] ?? 0) ^ 1

  test.for<[string, Buffer, string]>([
    [
      'with a wrong checksum',
      file({ checksum: '000001\0 ' }),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: header checksum is 1, expected 3173; is it a tar archive? (header at byte 0)',
    ],
    [
      'with a negative size',
      file({ size: '-0000000777\0' }),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: size "-0000000777\\u0000" is not an octal number (header at byte 0)',
    ],
    [
      'with a negative size in base 256',
      file({ size: base256(-512n) }),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: size -512 is not within 0 to 2^53 (header at byte 0)',
    ],
    [
      'with a size beyond 2^53',
      file({ size: base256(1n << 60n) }),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: size 1152921504606847000 is not within 0 to 2^53 (header at byte 0)',
    ],
    [
      'with a size that is no number',
      file({ size: 'NaN' }),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: size "NaN\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000" is not an octal number (header at byte 0)',
    ],
    [
      'with a PAX size that is no number',
      tarOf([{ path: 'f', pax: { size: 'NaN' } }]),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: PAX size "NaN" is not within 0 to 2^53 (header at byte 0)',
    ],
    [
      'with a negative PAX size',
      tarOf([{ path: 'f', pax: { size: '-1' } }]),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: PAX size "-1" is not within 0 to 2^53 (header at byte 0)',
    ],
    [
      'with a PAX header of more than 1 MiB',
      tarOf([{ path: 'x', typeflag: 'x', header: { size: '00010000000\0' } }]),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: a PAX header or long name of 2097152 bytes is more than 1048576 (header at byte 0)',
    ],
    [
      'with a long name of a terabyte',
      tarOf([{ path: 'x', typeflag: 'L', header: { size: base256(1n << 40n) } }]),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: a PAX header or long name of 1099511627776 bytes is more than 1048576 (header at byte 0)',
    ],
    [
      'with two PAX headers, of which readers take different ones (GHSA-vmf3-w455-68vh)',
      tarOf([
        { path: 'x', typeflag: 'x', content: paxRecords({ path: 'a' }) },
        { path: 'c', pax: { path: 'b' } },
      ]),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: two extended headers of one kind for one entry (header at byte 1024)',
    ],
    [
      'with a directory that has content, which is headers to some readers',
      tarOf([{ ...directory('d/'), content: tarOf([{ path: 'hidden' }], { trailer: false }) }]),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: directory "d/" has 512 bytes of content (header at byte 0)',
    ],
    [
      'that ends in the middle of a file',
      whole.subarray(0, 700),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: it ends early, at byte 700 (header at byte 0)',
    ],
    [
      'that ends in the middle of a header',
      whole.subarray(0, 100),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: it ends early, at byte 100 (header at byte 0)',
    ],
    [
      'that is none',
      Buffer.from('no archive\n'.repeat(100)),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed tar archive: checksum "chive\\nno" is not an octal number; is it a tar archive? (header at byte 0)',
    ],
    [
      'whose gzip ends early',
      zipped.subarray(0, -20),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed gzip data: unexpected end of file',
    ],
    [
      'whose gzip has a wrong checksum, far behind the end of the archive',
      damaged,
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed gzip data: incorrect data check',
    ],
    [
      'with another one hidden behind its gzip',
      Buffer.concat([zipped, Buffer.alloc(1), zipped]),
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: malformed gzip data: other bytes follow its end',
    ],
  ])('%s is refused', async ([, content, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal(artifactOf(content))).toBe(message)
  })

  test('with a PAX size for a long name between: the file is read as it is long (CVE-2025-62518)', async (context) => {
    skipUnless(context, why)
    const hidden = tarOf([{ path: 'hidden', content: 'x' }], { trailer: false })
    const entries: Entries = [
      { path: 'x', typeflag: 'x', content: paxRecords({ size: String(hidden.length) }) },
      { path: 'L', typeflag: 'L', content: 'outer\0' },
      { path: 'o', content: hidden, header: { size: '00000000000\0' } },
      { path: 'after', content: 'y' },
    ]
    expect(await node.tree(artifactOf(entries))).toEqual({
      '.': 'directory 755',
      after: `file 644 ${T} y`,
      outer: `file 644 ${T} sha256:${createHash('sha256').update(hidden).digest('hex')}`,
    })
  })

  test('whose bytes behind the end are others than its annotation says', async (context) => {
    skipUnless(context, why)
    const annotations = {
      'io.deis.oras.content.unpack': 'true',
      'io.deis.oras.content.digest': digestOf(whole),
    }
    expect(
      await node.refusal(artifact({ layers: [{ title: '.', annotations, content: zipped }] })),
    ).toBe(
      'DATA_LOSS Cannot use "REF": cannot unpack layer HEX: decompressed content is sha256:HEX, expected sha256:HEX (annotation "io.deis.oras.content.digest")',
    )
  })
})
