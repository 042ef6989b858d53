import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { buildTree } from '../../../../driver/pull/tree/tree-builder.ts'
import { DEFAULT_TREE_LIMITS } from '../../../../driver/pull/tree/tree-limits.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import { type TarEntry, tarOf } from '../../../support/tar.ts'
import { type Layer, treeFixture, treeOf } from './tree-fixture.ts'

const T = '@1700000000'
const directory = (path: string, rest: Partial<TarEntry> = {}): TarEntry => ({
  path,
  type: 'directory',
  ...rest,
})

describe('an artifact', () => {
  test('is built of links and archives, in order', async () => {
    await using fixture = await treeFixture()
    const script = fixture.blob('#!/bin/sh', 0o555)
    const summary = await fixture.build([
      [
        directory('./'),
        directory('d/'),
        { path: 'd/a', content: 'one' },
        { path: 'b', content: 'two' },
      ],
      { kind: 'link', blobPath: script, path: 'd/a' },
      { kind: 'link', blobPath: script, path: 'new/dir/run' },
      gzipSync(
        tarOf([
          { path: 'b', content: 'three' },
          { path: 'l', type: 'symlink', linkname: 'd/a' },
        ]),
      ),
    ])
    expect(summary).toEqual({ files: 3, directories: 3, links: 1, bytes: 23 })
    expect(fixture.tree()).toEqual({
      '.': `directory 755 ${T}`,
      b: `file 644 ${T} three`,
      d: `directory 755 ${T}`,
      'd/a': 'file 555 #!/bin/sh',
      l: 'link -> d/a',
      new: 'directory 755',
      'new/dir': 'directory 755',
      'new/dir/run': 'file 555 #!/bin/sh',
    })
    expect(statSync(join(fixture.root, 'd/a')).ino).toBe(statSync(script).ino)
  })

  test.for<[string, string, string, Partial<TarEntry>]>([
    ['0600', '644', '600', { mode: 0o600 }],
    ['0700', '755', '700', { mode: 0o700 }],
    ['0755', '755', '755', { mode: 0o755 }],
    ['0666', '644', '666', { mode: 0o666 }],
    ['0440', '444', '440', { mode: 0o440 }],
    ['setuid, setgid and sticky', '755', '755', { mode: 0o7755 }],
  ])('makes of mode %s "readable" %s and "keep" %s', async ([, readable, keep, entry]) => {
    for (const modes of ['readable', 'keep'] as const) {
      await using fixture = await treeFixture()
      await fixture.build([[{ path: 'f', ...entry }, directory('d/', entry)]], { modes })
      const mode = modes === 'keep' ? keep : readable
      expect(fixture.tree()).toEqual({
        '.': 'directory 755',
        f: `file ${mode} ${T} `,
        d: `directory ${mode} ${T}`,
      })
    }
  })

  test('has the modes it asks for whatever the umask', async () => {
    await using fixture = await treeFixture()
    const before = process.umask(0o077)
    try {
      await fixture.build([[{ path: 'i/f', mode: 0o755 }]])
    } finally {
      process.umask(before)
    }
    expect(fixture.tree()).toEqual({
      '.': 'directory 755',
      i: 'directory 755',
      'i/f': `file 755 ${T} `,
    })
  })

  test('belongs to who built it, whatever the archive says, and has no extended attributes', async () => {
    await using fixture = await treeFixture()
    await fixture.build([
      [{ path: 'f', uid: 4242, gid: 4242, pax: { 'SCHILY.xattr.user.x': 'y' } }],
    ])
    const { uid, gid } = lstatSync(join(fixture.root, 'f'))
    expect({ uid, gid }).toEqual({ uid: process.getuid?.(), gid: process.getgid?.() })
    expect(spawnSync('getfattr', ['-d', join(fixture.root, 'f')]).stdout?.toString() ?? '').toBe('')
  })

  test('keeps times, those of directories too, though entries were made in them later', async () => {
    await using fixture = await treeFixture()
    const many = Array.from({ length: 200 }, (_, i) => `d${i}`)
    await fixture.build([
      [
        ...many.map((path) => directory(path, { mtime: 1000.25 })),
        ...many.map((path) => ({ path: `${path}/f`, mtime: -1000 })),
        { path: 'n', pax: { mtime: '1.123456789' } },
      ],
    ])
    const tree = fixture.tree()
    for (const path of many) {
      expect([tree[path], tree[`${path}/f`]]).toEqual([
        'directory 755 @1000.25',
        'file 644 @-1000 ',
      ])
    }
    expect(lstatSync(join(fixture.root, 'n'), { bigint: true }).mtimeNs).toBe(1_123_456_789n)
  })

  test('keeps hard links, and may replace one by itself', async () => {
    await using fixture = await treeFixture()
    const summary = await fixture.build([
      [
        { path: 'a', content: 'xyz' },
        { path: 'd/b', type: 'hardlink', linkname: 'a' },
        { path: 'a', type: 'hardlink', linkname: './a' },
      ],
      [{ path: 'c', type: 'hardlink', linkname: 'd/b' }],
    ])
    expect(statSync(join(fixture.root, 'a')).nlink).toBe(3)
    expect(summary).toEqual({ files: 3, directories: 1, links: 0, bytes: 9 })
  })

  test('lets a later entry take the place of an earlier one, of any kind', async () => {
    await using fixture = await treeFixture()
    const summary = await fixture.build([
      [
        { path: 'a', content: 'one' },
        { path: 'b', type: 'symlink', linkname: 'a' },
        directory('c/', { mode: 0o700 }),
        directory('d/'),
        { path: 'd/f' },
        { path: 'e' },
      ],
      [
        { path: 'a', type: 'symlink', linkname: 'b' },
        { path: 'b', content: 'two' },
        { path: 'c', content: 'was an empty directory' },
        directory('d/', { mode: 0o500, mtime: 5 }),
        directory('e/'),
        { path: 'e/f' },
      ],
    ])
    expect(fixture.tree()).toEqual({
      '.': 'directory 755',
      a: 'link -> b',
      b: `file 644 ${T} two`,
      c: `file 644 ${T} was an empty directory`,
      d: 'directory 555 @5',
      'd/f': `file 644 ${T} `,
      e: `directory 755 ${T}`,
      'e/f': `file 644 ${T} `,
    })
    expect(summary).toEqual({ files: 4, directories: 2, links: 1, bytes: 25 })
  })

  test('forgets a link that could leave it when something else takes its place', async () => {
    await using fixture = await treeFixture()
    await fixture.build([
      [{ path: 'l', type: 'symlink', linkname: 'gone/../f' }],
      [{ path: 'l', content: 'x' }],
    ])
    expect(fixture.tree()).toEqual({ '.': 'directory 755', l: `file 644 ${T} x` })
  })

  test('unpacks an archive of oras in its title, and another archive at its own', async () => {
    await using fixture = await treeFixture()
    const [oras, other] = fixture.job([
      [directory('sub/dir'), { path: 'sub/dir/f' }],
      [{ path: './f' }],
    ]).steps as [Layer, Layer]
    await fixture.build([
      { ...oras, path: 'sub/dir', namesFrom: 'root' } as Layer,
      { ...other, path: 'x.tar', namesFrom: 'path' } as Layer,
    ])
    expect(Object.keys(fixture.tree())).toEqual([
      '.',
      'sub',
      'sub/dir',
      'sub/dir/f',
      'x.tar',
      'x.tar/f',
    ])
  })

  test('is empty for an archive without entries', async () => {
    await using fixture = await treeFixture()
    const nothing = { files: 0, directories: 0, links: 0, bytes: 0 }
    expect(await fixture.build([[], gzipSync('')])).toEqual(nothing)
    expect(fixture.tree()).toEqual({ '.': 'directory 755' })
  })

  test('checks the digest of the decompressed content, to its last byte', async () => {
    await using fixture = await treeFixture()
    const tar = Buffer.concat([tarOf([{ path: 'f' }]), Buffer.from('behind the end')])
    const [step] = fixture.job([gzipSync(tar)]).steps
    const withDigest = (content: Uint8Array) => [
      { ...step, contentDigest: digestOf(content) } as Layer,
    ]
    expect(await fixture.failure(withDigest(tar))).toBe('nothing was thrown')
    expect(await fixture.failure(withDigest(Buffer.from('other')))).toBe(
      `CORRUPT Cannot unpack layer: decompressed content is ${digestOf(tar)}, expected ${digestOf('other')} (annotation "io.deis.oras.content.digest")`,
    )
  })

  test('stops a compression bomb by its ratio, but lets small archives be', async () => {
    await using fixture = await treeFixture()
    const zeros = gzipSync(tarOf([{ path: 'zeros', content: Buffer.alloc(3_000_000) }]))
    const limits = { ...DEFAULT_TREE_LIMITS, ratio: 100, ratioFreeBytes: 1_000_000 }
    expect(await fixture.failure([zeros], { limits })).toBe(
      `EXHAUSTED Cannot unpack layer: the archive has more than 100 decompressed bytes for each of its ${zeros.length} compressed ones (the limit --max-decompression-ratio, which an admin can raise)`,
    )
    expect(await fixture.failure([zeros])).toBe('nothing was thrown')
  })

  test('copies a blob of another file system, with its mode and time', async (context) => {
    skipUnless(context, existsSync('/dev/shm') ? undefined : 'no /dev/shm')
    await using fixture = await treeFixture()
    const blobPath = `/dev/shm/oras-csi-test-${process.pid}`
    writeFileSync(blobPath, 'x'.repeat(3_000_000), { mode: 0o555 })
    try {
      skipUnless(
        context,
        statSync(blobPath).dev === statSync(fixture.root).dev ? 'one file system' : undefined,
      )
      const summary = await fixture.build([{ kind: 'link', blobPath, path: 'd/f' }])
      expect(summary).toEqual({ files: 1, directories: 1, links: 0, bytes: 3_000_000 })
      const copy = lstatSync(join(fixture.root, 'd/f'), { bigint: true })
      expect({ mode: copy.mode, mtimeNs: copy.mtimeNs, nlink: copy.nlink }).toEqual({
        mode: 0o100555n,
        mtimeNs: lstatSync(blobPath, { bigint: true }).mtimeNs,
        nlink: 1n,
      })
      expect(digestOf(readFileSync(join(fixture.root, 'd/f')))).toBe(
        digestOf(readFileSync(blobPath)),
      )
    } finally {
      rmSync(blobPath)
    }
  })

  test('says which layer is damaged', async () => {
    await using fixture = await treeFixture()
    expect(await fixture.failure([[{ path: 'a' }], Buffer.alloc(700, 'x')])).toBe(
      'CORRUPT Cannot unpack layer: malformed tar archive: checksum "xxxxxxxx" is not an octal number; is it a tar archive? (header at byte 0)',
    )
  })

  test('leaves no descriptor open, whether it fails or not', async () => {
    await using fixture = await treeFixture()
    const cut = tarOf([{ path: 'd/f', content: 'x'.repeat(2000) }]).subarray(0, 1500)
    const count = () => readdirSync('/proc/self/fd').length
    await fixture.build([[]])
    const before = count()
    expect(await fixture.failure([cut])).toMatch(/^CORRUPT /)
    expect(await fixture.failure([[{ path: 'd/f' }, { path: '../f' }]])).toMatch(/^INVALID /)
    await fixture.build([[{ path: 'e/f' }, { path: 'g/h', type: 'hardlink', linkname: 'e/f' }]])
    expect(count()).toBe(before)
  })

  test('stops when its signal fires', async () => {
    await using fixture = await treeFixture()
    const aborted = AbortSignal.abort(new Error('nobody waits'))
    await expect(buildTree(fixture.job([[{ path: 'a' }]]), aborted)).rejects.toThrow('nobody waits')
  })
})

describe('an image', () => {
  const IMAGE = { flavour: 'image' } as const

  test.for<[string, readonly (readonly TarEntry[])[], Record<string, string>]>([
    [
      'hides what a whiteout names in lower layers',
      [
        [{ path: 'd/a' }, { path: 'd/b' }, directory('e/'), { path: 'e/f/g' }],
        [{ path: 'd/.wh.a' }, { path: '.wh.e' }, { path: 'none/.wh.x' }, { path: 'd/.wh.none' }],
      ],
      { '.': 'directory 755', d: 'directory 755', 'd/b': `file 644 ${T} ` },
    ],
    [
      'keeps what the layer of a whiteout itself has, before and after it',
      [
        [{ path: 'a', content: 'old' }, { path: 'd/old' }, { path: 'd/e/old' }],
        [
          { path: 'a', content: 'new' },
          { path: '.wh.a' },
          { path: 'd/e/new' },
          { path: '.wh.d' },
          { path: 'd/after' },
        ],
      ],
      {
        '.': 'directory 755',
        a: `file 644 ${T} new`,
        d: 'directory 755',
        'd/after': `file 644 ${T} `,
        'd/e': 'directory 755',
        'd/e/new': `file 644 ${T} `,
      },
    ],
    [
      'makes anew what its own whiteout removed',
      [[{ path: 'd/e/a' }], [{ path: '.wh.d' }, { path: 'd/e/b' }]],
      {
        '.': 'directory 755',
        d: 'directory 755',
        'd/e': 'directory 755',
        'd/e/b': `file 644 ${T} `,
      },
    ],
    [
      "hides lower layers' content of an opaque directory, whichever order the entries come in",
      [
        [{ path: 'd/a' }, { path: 'd/b', content: 'old' }, { path: 'd/e/old' }, { path: 'f' }],
        [
          { path: 'd/b', content: 'new' },
          { path: 'd/e/new' },
          directory('d/'),
          { path: 'd/.wh..wh..opq' },
          { path: 'd/c' },
        ],
      ],
      {
        '.': 'directory 755',
        d: `directory 755 ${T}`,
        'd/b': `file 644 ${T} new`,
        'd/c': `file 644 ${T} `,
        'd/e': 'directory 755',
        'd/e/new': `file 644 ${T} `,
        f: `file 644 ${T} `,
      },
    ],
    [
      'knows its own entries by whatever symbolic link they are reached',
      [
        [
          directory('usr/lib/'),
          { path: 'usr/lib/old' },
          { path: 'lib', type: 'symlink', linkname: 'usr/lib' },
        ],
        [{ path: 'lib/new' }, { path: 'usr/lib/.wh..wh..opq' }, { path: 'lib/.wh.new' }],
      ],
      {
        '.': 'directory 755',
        lib: 'link -> usr/lib',
        usr: 'directory 755',
        'usr/lib': `directory 755 ${T}`,
        'usr/lib/new': `file 644 ${T} `,
      },
    ],
    [
      'follows symbolic links of parents, absolute ones from its root',
      [
        [directory('run/'), { path: 'var/run', type: 'symlink', linkname: '/run' }],
        [{ path: 'var/run/pid' }, { path: 'var/run/.wh.none' }],
      ],
      {
        '.': 'directory 755',
        run: `directory 755 ${T}`,
        'run/pid': `file 644 ${T} `,
        var: 'directory 755',
        'var/run': 'link -> /run',
      },
    ],
    [
      'makes the directory that a dangling symbolic link names',
      [
        [
          { path: 'var/run', type: 'symlink', linkname: '../run/x' },
          { path: 'var/run/pid' },
          { path: 'up', type: 'symlink', linkname: '../../../outside' },
          { path: 'up/f' },
        ],
      ],
      {
        '.': 'directory 755',
        outside: 'directory 755',
        'outside/f': `file 644 ${T} `,
        run: 'directory 755',
        'run/x': 'directory 755',
        'run/x/pid': `file 644 ${T} `,
        up: 'link -> ../../../outside',
        var: 'directory 755',
        'var/run': 'link -> ../run/x',
      },
    ],
    [
      'replaces directories by files and links, and those by directories',
      [
        [{ path: 'd/e/f' }, { path: 'f' }, { path: 'l', type: 'symlink', linkname: 'd' }],
        [{ path: 'd', content: 'x' }],
        [directory('f/'), { path: 'f/g' }, directory('l/'), { path: 'l/h' }],
      ],
      {
        '.': 'directory 755',
        d: `file 644 ${T} x`,
        f: `directory 755 ${T}`,
        'f/g': `file 644 ${T} `,
        l: `directory 755 ${T}`,
        'l/h': `file 644 ${T} `,
      },
    ],
    [
      'does not write where a replaced symbolic link led',
      [
        [directory('a/'), { path: 'l', type: 'symlink', linkname: 'a' }, { path: 'l/one' }],
        [directory('b/'), { path: 'l', type: 'symlink', linkname: 'b' }, { path: 'l/two' }],
      ],
      {
        '.': 'directory 755',
        a: `directory 755 ${T}`,
        'a/one': `file 644 ${T} `,
        b: `directory 755 ${T}`,
        'b/two': `file 644 ${T} `,
        l: 'link -> b',
      },
    ],
    [
      'links to files of lower layers, and to symbolic links',
      [
        [
          { path: 'a', content: 'x' },
          { path: 's', type: 'symlink', linkname: '/gone' },
        ],
        [
          { path: 'd/b', type: 'hardlink', linkname: 'a' },
          { path: 't', type: 'hardlink', linkname: 's' },
          { path: '.wh.a' },
        ],
      ],
      {
        '.': 'directory 755',
        d: 'directory 755',
        'd/b': `file 644 ${T} x`,
        s: 'link -> /gone',
        t: 'link -> /gone',
      },
    ],
    [
      'skips devices, FIFOs and the files of AUFS',
      [
        [
          { path: 'dev/null', type: 'char' },
          { path: 'dev/sda', type: 'block' },
          { path: 'fifo', type: 'fifo' },
          { path: '.wh..wh.plnk/1.2', content: 'x' },
          { path: '.wh..wh.aufs' },
          { path: 'f' },
        ],
      ],
      { '.': 'directory 755', f: `file 644 ${T} ` },
    ],
    [
      'keeps the mode of its root, made readable',
      [[directory('/', { mode: 0o1700, mtime: 5 }), { path: 'f' }]],
      { '.': 'directory 755 @5', f: `file 644 ${T} ` },
    ],
  ])('%s', async ([, layers, tree]) => {
    await using fixture = await treeFixture()
    const summary = await fixture.build(layers, IMAGE)
    expect(fixture.tree()).toEqual(tree)
    const kinds = Object.values(tree)
    expect(summary).toMatchObject({
      files: kinds.filter((kind) => kind.startsWith('file')).length,
      directories: kinds.filter((kind) => kind.startsWith('directory')).length - 1,
      links: kinds.filter((kind) => kind.startsWith('link')).length,
    })
  })

  test('that keeps modes lets every user into its root all the same', async () => {
    await using fixture = await treeFixture()
    await fixture.build([[directory('./', { mode: 0o700 })]], { ...IMAGE, modes: 'keep' })
    expect(fixture.tree()).toEqual({ '.': `directory 755 ${T}` })
  })
})

describe('against GNU tar', () => {
  // Without the last but one, GNU tar forgets the time of a directory that it comes back to.
  const GNU_TAR = ['-xp', '--delay-directory-restore', '-f']

  function byGnuTar(archive: string, directoryPath: string): Record<string, string> {
    mkdirSync(directoryPath, { recursive: true })
    const { status, stderr } = spawnSync('tar', [...GNU_TAR, archive, '-C', directoryPath], {
      encoding: 'utf8',
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    return treeOf(directoryPath)
  }

  test.for(['gnu', 'oldgnu', 'pax', 'posix', 'ustar', 'v7'])(
    'archives that it writes as %s give the same tree',
    async (format) => {
      await using fixture = await treeFixture()
      const source = join(fixture.directory, 'source')
      const long = format === 'v7' ? 'd/e' : `${'d'.repeat(90)}/${'e'.repeat(90)}`
      mkdirSync(join(source, long), { recursive: true })
      writeFileSync(join(source, long, 'f'), 'content', { mode: 0o640 })
      writeFileSync(join(source, 'big'), Buffer.alloc(700_000, 'big'))
      const shell =
        'ln -s big link; ln big hard; ln -s "$0/f" far; touch -d @1000.5 big; chmod 2750 .'
      spawnSync('sh', ['-c', ['v7', 'ustar'].includes(format) ? `${shell}; rm far` : shell, long], {
        cwd: source,
      })
      const archive = join(fixture.directory, 'archive')
      const made = spawnSync('tar', [`--format=${format}`, '-czf', archive, '-C', source, '.'])
      expect(made.stderr.toString()).toBe('')
      const { '.': _, ...expected } = byGnuTar(archive, join(fixture.directory, 'gnu'))
      await fixture.build([{ kind: 'unpack', blobPath: archive, path: '' }], { modes: 'keep' })
      const { '.': root, ...tree } = fixture.tree()
      expect(tree).toEqual(expected)
      expect(root).toMatch(/^directory 755/)
    },
  )
})
