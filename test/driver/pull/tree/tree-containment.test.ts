import { linkSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { TreeJob } from '../../../../driver/pull/tree/tree-job.ts'
import { DEFAULT_TREE_LIMITS } from '../../../../driver/pull/tree/tree-limits.ts'
import type { TarEntry } from '../../../support/tar.ts'
import { type Layer, treeFixture } from './tree-fixture.ts'

const IMAGE = { flavour: 'image' } as const
const DEEP = 'd/'.repeat(64)

/** What each attack tries, the layers that try it, and what is said; without an answer, it comes to nothing. */
const ATTACKS: readonly (readonly [
  attack: string,
  layers: readonly Layer[],
  answer: string,
  options?: Partial<TreeJob>,
])[] = [
  [
    'a name that climbs out',
    [[{ path: '../canary/secret', content: 'x' }]],
    'INVALID Cannot unpack layer: entry "../canary/secret": its name has ".." in it',
  ],
  [
    'a name that climbs out of an image',
    [[{ path: '../canary/secret', content: 'x' }]],
    'INVALID Cannot unpack layer: entry "../canary/secret": its name has ".." in it',
    IMAGE,
  ],
  [
    'an absolute name',
    [[{ path: '/etc/oras-csi-attack', content: 'x' }]],
    'INVALID Cannot unpack layer: entry "/etc/oras-csi-attack": its name is absolute; expected a relative path',
  ],
  [
    'a PAX path that climbs out behind a harmless name',
    [[{ path: 'a', pax: { path: '../canary/secret' }, content: 'x' }]],
    'INVALID Cannot unpack layer: entry "../canary/secret": its name has ".." in it',
  ],
  [
    'a NUL that hides the rest of a name',
    [[{ path: 'a', pax: { path: 'a\0b' } }]],
    'INVALID Cannot unpack layer: entry "a\\u0000b": its name has a control character',
  ],
  [
    'a name of no bytes',
    [[{ path: '' }]],
    'INVALID Cannot unpack layer: entry "": its name is empty',
  ],
  [
    'a name deeper than 64 directories',
    [[{ path: `${DEEP}f` }]],
    `EXHAUSTED Cannot unpack layer: entry "${DEEP}f": its name is deeper than 64 directories (the limit --max-path-depth, which an admin can raise)`,
  ],
  [
    'a symbolic link out, and a file through it',
    [
      [
        { path: 'l', type: 'symlink', linkname: '../canary' },
        { path: 'l/secret', content: 'x' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "l": is a symbolic link to "../canary", which leaves the artifact',
  ],
  [
    'an absolute symbolic link',
    [[{ path: 'l', type: 'symlink', linkname: '/etc' }]],
    'INVALID Cannot unpack layer: entry "l": is a symbolic link to the absolute path "/etc"; expected one that stays in the artifact',
  ],
  [
    'a file through a symbolic link that stays inside (CVE-2026-85731)',
    [
      [
        { path: 'd/', type: 'directory' },
        { path: 'l', type: 'symlink', linkname: 'd' },
        { path: 'l/f', content: 'x' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "l/f": its parent "l" is, or is below, a file or symbolic link; expected a directory',
  ],
  [
    'one layer plants the link, the next writes through it (CVE-2025-45582)',
    [
      [
        { path: 'd/', type: 'directory' },
        { path: 'l', type: 'symlink', linkname: 'd' },
      ],
      [{ path: 'l/f', content: 'x' }],
    ],
    'INVALID Cannot unpack layer: entry "l/f": its parent "l" is, or is below, a file or symbolic link; expected a directory',
  ],
  [
    'a chain of symbolic links, each harmless by its text',
    [
      [
        { path: 'a/up', type: 'symlink', linkname: '..' },
        { path: 'a/out', type: 'symlink', linkname: 'up/../canary' },
      ],
    ],
    'INVALID Entry "a/out": is a symbolic link to "up/../canary", which may leave the artifact; expected no ".." behind another link or a name that is not there',
  ],
  [
    'the same chain, the other link planted later',
    [
      [{ path: 'a/out', type: 'symlink', linkname: 'up/../canary' }],
      [{ path: 'a/up', type: 'symlink', linkname: '..' }],
    ],
    'INVALID Entry "a/out": is a symbolic link to "up/../canary", which may leave the artifact; expected no ".." behind another link or a name that is not there',
  ],
  [
    'a hard link to a file of the host (CVE-2026-50163)',
    [[{ path: 'l', type: 'hardlink', linkname: '/etc/passwd' }]],
    'INVALID Cannot unpack layer: entry "l": its link name is absolute; expected a relative path',
  ],
  [
    'a hard link that climbs out',
    [[{ path: 'l', type: 'hardlink', linkname: '../canary/secret' }]],
    'INVALID Cannot unpack layer: entry "l": its link name has ".." in it',
  ],
  [
    'a hard link to what is not there',
    [[{ path: 'l', type: 'hardlink', linkname: 'a/b' }]],
    'INVALID Cannot unpack layer: entry "l": is a hard link to "a/b", which is not there; expected a file that comes before it',
  ],
  [
    'a hard link to a symbolic link',
    [
      [
        { path: 's', type: 'symlink', linkname: 'x' },
        { path: 'l', type: 'hardlink', linkname: 's' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "l": is a hard link to "s", which is no regular file; expected a file that comes before it',
  ],
  [
    'a hard link to a directory',
    [
      [
        { path: 'd/', type: 'directory' },
        { path: 'l', type: 'hardlink', linkname: 'd' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "l": is a hard link to "d", which is no regular file; expected a file that comes before it',
  ],
  ...(['char', 'block', 'fifo'] as const).map(
    (type) =>
      [
        `a ${type} entry`,
        [[{ path: 'dev', type }]],
        `INVALID Cannot unpack layer: entry "dev": is a ${{ char: 'character device', block: 'block device', fifo: 'FIFO' }[type]}; expected files, directories and links`,
      ] as const,
  ),
  [
    'a file in the place of the root',
    [[{ path: './', type: 'file', typeflag: '7', content: 'x' }]],
    'INVALID Cannot unpack layer: entry "./": its name is the root\'s; expected a directory there',
  ],
  [
    'a file in the place of a directory with entries',
    [[{ path: 'd/f' }, { path: 'd', content: 'x' }]],
    'INVALID Cannot unpack layer: entry "d": is no directory, but takes the place of one that has entries',
  ],
  [
    'a file below a file',
    [[{ path: 'f' }, { path: 'f/g' }]],
    'INVALID Cannot unpack layer: entry "f/g": its parent "f" is, or is below, a file or symbolic link; expected a directory',
  ],
  ...([{}, IMAGE] as const).map(
    (options) =>
      [
        `a symbolic link ${'flavour' in options ? 'of an image ' : ''}to a name with a NUL`,
        [[{ path: 'l', type: 'symlink', linkname: 'a', pax: { linkpath: 'a\0b' } }]],
        'INVALID Cannot unpack layer: entry "l": is a symbolic link to a name with a control character',
        options,
      ] as const,
  ),
  [
    'an image whose symbolic link points out, and a file through it',
    [
      [{ path: 'l', type: 'symlink', linkname: '../../../../canary' }],
      [{ path: 'l/secret', content: 'x' }],
    ],
    'nothing was thrown',
    IMAGE,
  ],
  [
    'an image whose absolute symbolic link points to the host',
    [[{ path: 'l', type: 'symlink', linkname: '/tmp' }], [{ path: 'l/canary', content: 'x' }]],
    'nothing was thrown',
    IMAGE,
  ],
  [
    'an image that writes through /proc/self/root',
    [
      [{ path: 'l', type: 'symlink', linkname: '/proc/self/root' }],
      [{ path: 'l/tmp/oras-csi-attack', content: 'x' }],
    ],
    'nothing was thrown',
    IMAGE,
  ],
  [
    'an image whose symbolic links are a loop',
    [
      [
        { path: 'a', type: 'symlink', linkname: 'b' },
        { path: 'b', type: 'symlink', linkname: 'a' },
        { path: 'a/f', content: 'x' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "a/f": its parent "a" is, or is below, a file or symbolic link; expected a directory',
    IMAGE,
  ],
  [
    'an image whose directory takes the place of the link that leads to it',
    [
      [
        { path: 'a', type: 'symlink', linkname: '.' },
        { path: 'a/a', type: 'directory' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "a/a": takes the place of a symbolic link that its path leads through',
    IMAGE,
  ],
  [
    'an image whose dangling links name ever new ones',
    [
      [
        { path: 'a', type: 'symlink', linkname: 'a/../a/x' },
        { path: 'a/f', content: 'x' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "a/f": its parent "a" is, or is below, a file or symbolic link; expected a directory',
    IMAGE,
  ],
  ...(
    [
      ['.wh...', '..'],
      ['.wh..', '.'],
      ['.wh.', ''],
    ] as const
  ).map(
    ([name, hidden]) =>
      [
        `a whiteout of ${JSON.stringify(hidden)}, which would hide more than its directory's entry`,
        [[{ path: `d/${name}` }]],
        `INVALID Cannot unpack layer: entry "d/${name}": is a whiteout of ${JSON.stringify(hidden)}; expected a name`,
        IMAGE,
      ] as const,
  ),
  [
    'a whiteout through a symbolic link that points out',
    [
      [{ path: 'l', type: 'symlink', linkname: '../canary' }],
      [{ path: 'l/.wh.secret' }, { path: 'l/.wh..wh..opq' }],
    ],
    'nothing was thrown',
    IMAGE,
  ],
  [
    'a hard link of an image through a symbolic link that points out',
    [
      [
        { path: 'l', type: 'symlink', linkname: '../canary' },
        { path: 'h', type: 'hardlink', linkname: 'l/secret' },
      ],
    ],
    'INVALID Cannot unpack layer: entry "h": is a hard link to "l/secret", which is not there; expected a file that comes before it',
    IMAGE,
  ],
  [
    'more entries than the limit',
    [[{ path: 'a' }, { path: 'b' }], [{ path: 'c' }]],
    'EXHAUSTED Cannot unpack layer: entry "c": the archives have more than 2 entries (the limit --max-entries, which an admin can raise)',
    { limits: { ...DEFAULT_TREE_LIMITS, entries: 2 } },
  ],
  [
    'more bytes than the limit, over all layers',
    [[{ path: 'a', content: 'x'.repeat(2000) }], [{ path: 'b', content: 'x'.repeat(2000) }]],
    'EXHAUSTED Cannot unpack layer: the archives have more than 6000 decompressed bytes (the limit --max-decompressed-bytes, which an admin can raise)',
    { limits: { ...DEFAULT_TREE_LIMITS, decompressedBytes: 6000 } },
  ],
]

describe('a tree stays in its root', () => {
  test.for(ATTACKS)('whatever %s', async ([, layers, answer, options]) => {
    await using fixture = await treeFixture()
    fixture.job(layers)
    const before = fixture.canary()
    expect(await fixture.failure(layers, options)).toBe(answer)
    expect(fixture.canary()).toEqual(before)
  })

  test('the file of a linked blob is replaced, never written to', async () => {
    await using fixture = await treeFixture()
    const blobPath = fixture.blob('content of the store')
    const inode = statSync(blobPath).ino
    await fixture.build([
      { kind: 'link', blobPath, path: 'a' },
      [
        { path: 'h', type: 'hardlink', linkname: 'a' },
        { path: 'a', content: 'other', mode: 0o600, mtime: 5 },
        { path: 'h', content: 'another' },
      ],
    ])
    const { mode, ino, nlink } = statSync(blobPath)
    expect({ ino, nlink, mode: mode & 0o7777 }).toEqual({ ino: inode, nlink: 1, mode: 0o444 })
    expect(readFileSync(blobPath, 'utf8')).toBe('content of the store')
  })

  test('a blob that is a symbolic link is not linked', async () => {
    await using fixture = await treeFixture()
    const blobPath = join(fixture.directory, 'blobs', 'link')
    symlinkSync('/etc/passwd', blobPath)
    expect(await fixture.failure([{ kind: 'link', blobPath, path: 'a' }])).toBe(
      'INTERNAL Cannot place layer link at "a": the log has the detail',
    )
  })

  test('entries of a layer with a title stay under it, and its links in the tree', async () => {
    await using fixture = await treeFixture()
    const step = (entries: readonly TarEntry[]) =>
      ({ ...fixture.job([entries]).steps[0], path: 'dir' }) as Layer
    expect(await fixture.failure([step([{ path: 'dir2/f' }])])).toBe(
      'INVALID Cannot unpack layer: entry "dir2/f": its name is outside of the layer\'s title "dir"',
    )
    expect(
      await fixture.failure([
        [{ path: 'f', content: 'x' }],
        step([{ path: 'dir/l', type: 'hardlink', linkname: 'f' }]),
      ]),
    ).toBe(
      'INVALID Cannot unpack layer: entry "dir/l": its link name is outside of the layer\'s title "dir"',
    )
  })

  test('the canary would show a write, a link and a new file', async () => {
    await using fixture = await treeFixture()
    const before = fixture.canary()
    linkSync(join(fixture.directory, 'canary', 'secret'), join(fixture.root, 'h'))
    expect(fixture.canary()).not.toEqual(before)
  })
})
