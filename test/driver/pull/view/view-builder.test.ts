import { lstatSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DEFAULT_TREE_LIMITS } from '../../../../driver/pull/tree/tree-limits.ts'
import { buildView } from '../../../../driver/pull/view/view-builder.ts'
import { viewFixture } from './view-fixture.ts'

describe('the view of several trees', () => {
  test('has every file of every tree, each of them the same inode, and counts them', async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ 'lib/a.jar': 'aaa', README: 'one' })
    const two = fixture.source({ 'lib/b.jar': 'bb', 'etc/sub/conf': 'c' })
    expect(fixture.build([one, two])).toEqual({ files: 4, directories: 3, links: 0, bytes: 9 })
    expect(fixture.view()).toEqual({
      '.': 'directory 755',
      README: 'file 644 one',
      etc: 'directory 755',
      'etc/sub': 'directory 755',
      'etc/sub/conf': 'file 644 c',
      lib: 'directory 755',
      'lib/a.jar': 'file 644 aaa',
      'lib/b.jar': 'file 644 bb',
    })
    expect(inode(fixture.root, 'lib/a.jar')).toBe(inode(one.root, 'lib/a.jar'))
    expect(inode(fixture.root, 'lib/b.jar')).toBe(inode(two.root, 'lib/b.jar'))
  })

  test('shows the later file where two trees have one, and counts it once; the trees stay', async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ 'etc/conf': 'first and long', 'etc/kept': 'k' })
    const two = fixture.source({ 'etc/conf': 'second' })
    expect(fixture.build([one, two])).toEqual({ files: 2, directories: 1, links: 0, bytes: 7 })
    expect(readFileSync(join(fixture.root, 'etc/conf'), 'utf8')).toBe('second')
    expect(readFileSync(join(one.root, 'etc/conf'), 'utf8')).toBe('first and long')
    expect(lstatSync(join(one.root, 'etc/conf')).nlink).toBe(1)
  })

  test.for([
    ['a file by a link', { x: 'file' }, { x: { link: 'y' }, y: 'y' }, 'link -> y'],
    ['a link by a file', { x: { link: 'y' }, y: 'y' }, { x: 'file' }, 'file 644 file'],
    ['a link by a link', { x: { link: 'y' }, y: 'y' }, { x: { link: 'z' } }, 'link -> z'],
  ] as const)('replaces %s', async ([, before, after, found]) => {
    await using fixture = await viewFixture()
    const summary = fixture.build([fixture.source(before), fixture.source(after)])
    expect(fixture.view()['x']).toBe(found)
    expect(fixture.view()['y']).toBe('file 644 y')
    const links = found.startsWith('link') ? 1 : 0
    expect([summary.links, summary.files]).toEqual([links, 2 - links])
  })

  test('gives a directory the mode and time of the last tree that has it', async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({
      only: { directory: true, mode: 0o700, time: 1_000 },
      both: { directory: true, mode: 0o750, time: 2_000 },
      'both/a': 'a',
    })
    const two = fixture.source({
      both: { directory: true, mode: 0o711, time: 3_000 },
      'both/b': 'b',
    })
    fixture.build([one, two])
    expect(fixture.view()).toMatchObject({
      only: 'directory 700 @1000',
      both: 'directory 711 @3000',
    })
  })

  test('keeps links as they are, absolute ones of images too, and follows none', async () => {
    await using fixture = await viewFixture()
    const before = fixture.canary()
    const content = {
      bin: { link: 'usr/bin' },
      'usr/bin/sh': 'shell',
      'etc/mtab': { link: '/proc/mounts' },
      'etc/out': { link: '../../canary/directory' },
      gone: { link: 'nowhere' },
    }
    const summary = fixture.build([fixture.source(content)])
    expect(summary).toEqual({ files: 1, directories: 3, links: 4, bytes: 5 })
    expect(fixture.view()).toMatchObject({
      bin: 'link -> usr/bin',
      'etc/mtab': 'link -> /proc/mounts',
      'etc/out': 'link -> ../../canary/directory',
      gone: 'link -> nowhere',
    })
    expect(fixture.canary()).toEqual(before)
  })
})

describe('files that meet directories', () => {
  test.for([
    [
      'a file and then a directory',
      { 'lib/x': 'file' },
      { 'lib/x/y': 'file' },
      'INVALID Cannot put "one" and "two" into one volume: "lib/x" is a file or link in the first and a directory in the second; give one of them another "path", or leave it out by "files"',
    ],
    [
      'a directory and then a file',
      { 'lib/x/y': 'file' },
      { 'lib/x': 'file' },
      'INVALID Cannot put "one" and "two" into one volume: "lib/x" is a directory in the first and a file or link in the second; give one of them another "path", or leave it out by "files"',
    ],
    [
      'a link to a directory and then a directory',
      { 'real/y': 'file', x: { link: 'real' } },
      { 'x/y': 'file' },
      'INVALID Cannot put "one" and "two" into one volume: "x" is a file or link in the first and a directory in the second; give one of them another "path", or leave it out by "files"',
    ],
    [
      'an empty directory and then a link',
      { x: { directory: true } },
      { x: { link: 'y' } },
      'INVALID Cannot put "one" and "two" into one volume: "x" is a directory in the first and a file or link in the second; give one of them another "path", or leave it out by "files"',
    ],
  ] as const)('%s: both sources and the path are named', async ([, before, after, message]) => {
    await using fixture = await viewFixture()
    expect(fixture.failure([fixture.source(before), fixture.source(after)])).toBe(message)
  })

  test('names the one of many sources that is in the way', async () => {
    await using fixture = await viewFixture()
    const sources = [{ a: 'a' }, { 'x/y': 'b' }, { c: 'c' }, { x: 'd' }].map((content) =>
      fixture.source(content),
    )
    expect(fixture.failure(sources)).toMatch(
      /^INVALID Cannot put "two" and "four" into one volume: "x" /,
    )
  })

  test("a path that another source's file is in the way of", async () => {
    await using fixture = await viewFixture()
    const sources = [
      fixture.source({ lib: 'file' }),
      fixture.source({ x: 'x' }, { path: 'lib/two' }),
    ]
    expect(fixture.failure(sources)).toBe(
      'INVALID Cannot put "one" and "two" into one volume: "lib" is a file or link in the first and a directory in the second; give one of them another "path", or leave it out by "files"',
    )
  })

  test("a file where another source's path has its directory", async () => {
    await using fixture = await viewFixture()
    const sources = [
      fixture.source({ x: 'x' }, { path: 'lib/one' }),
      fixture.source({ lib: 'file' }),
    ]
    expect(fixture.failure(sources)).toMatch(
      /^INVALID Cannot put "one" and "two" into one volume: "lib" is a directory in the first /,
    )
  })
})

describe('a path', () => {
  test('places a tree below new directories of mode 0755, whatever the umask', async () => {
    await using fixture = await viewFixture()
    const source = fixture.source(
      { a: 'a', d: { directory: true, mode: 0o700, time: 1_000 }, 'd/l': { link: '../a' } },
      { path: 'opt/acme/lib' },
    )
    const umask = process.umask(0o077)
    try {
      expect(fixture.build([source])).toEqual({ files: 1, directories: 4, links: 1, bytes: 1 })
    } finally {
      process.umask(umask)
    }
    expect(fixture.view()).toEqual({
      '.': 'directory 755',
      opt: 'directory 755',
      'opt/acme': 'directory 755',
      'opt/acme/lib': 'directory 755',
      'opt/acme/lib/a': 'file 644 a',
      'opt/acme/lib/d': 'directory 700 @1000',
      'opt/acme/lib/d/l': 'link -> ../a',
    })
    expect(readFileSync(join(fixture.root, 'opt/acme/lib/d/l'), 'utf8')).toBe('a')
  })

  test("leaves another source's directories on its way as they are", async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ opt: { directory: true, mode: 0o711, time: 1_000 }, 'opt/x': 'x' })
    const two = fixture.source({ y: 'y' }, { path: 'opt/two' })
    fixture.build([one, two])
    expect(fixture.view()).toMatchObject({
      opt: 'directory 711 @1000',
      'opt/x': 'file 644 x',
      'opt/two/y': 'file 644 y',
    })
  })

  test.for(['../out', '/abs', 'a/../../out', 'a/./b/..'])('%s is refused', async (path) => {
    await using fixture = await viewFixture()
    const before = fixture.canary()
    expect(fixture.failure([fixture.source({ a: 'a' }, { path })])).toMatch(
      /^INVALID Invalid path ".*": it /,
    )
    expect(fixture.canary()).toEqual(before)
  })
})

describe('file globs', () => {
  const CONTENT = {
    'bin/run': 'r',
    'docs/guide.md': 'g',
    'docs/old/notes.md': 'n',
    empty: { directory: true },
    'lib/a.jar': 'a',
    'lib/a-sources.jar': 's',
    'lib/link.jar': { link: 'a.jar' },
  } as const

  test.for([
    { files: ['*.jar', '!*-sources.jar'], found: ['lib', 'lib/a.jar', 'lib/link.jar'] },
    { files: ['/docs/'], found: ['docs', 'docs/guide.md', 'docs/old', 'docs/old/notes.md'] },
    { files: ['*.md', '!old/'], found: ['docs', 'docs/guide.md'] },
    { files: ['bin', 'empty'], found: ['bin', 'bin/run', 'empty'] },
    {
      files: ['!docs', '!*.jar'],
      found: ['bin', 'bin/run', 'empty'],
    },
    { files: ['docs', '!docs/guide.md'], found: ['docs', 'docs/old', 'docs/old/notes.md'] },
  ])('$files show $found', async ({ files, found }) => {
    await using fixture = await viewFixture()
    fixture.build([fixture.source(CONTENT, { files })])
    expect(Object.keys(fixture.view()).sort()).toEqual(['.', ...found])
  })

  test("are by the path in the tree, not in the volume, and say nothing of other sources' files", async () => {
    await using fixture = await viewFixture()
    const one = fixture.source(CONTENT, { files: ['/lib/*.jar'], path: 'opt' })
    const two = fixture.source({ 'lib/other.txt': 'o' })
    fixture.build([one, two])
    expect(Object.keys(fixture.view()).filter((path) => path.includes('.'))).toEqual([
      '.',
      'lib/other.txt',
      'opt/lib/a-sources.jar',
      'opt/lib/a.jar',
      'opt/lib/link.jar',
    ])
  })

  test('that leave a file out let a directory of another source take its place', async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ x: 'file', y: 'y' }, { files: ['y'] })
    fixture.build([one, fixture.source({ 'x/z': 'z' })])
    expect(fixture.view()).toMatchObject({ 'x/z': 'file 644 z', y: 'file 644 y' })
  })

  test('that select nothing are refused, with what there is and the nearest to what was asked for', async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ z: 'z' })
    const two = fixture.source(CONTENT, { files: ['*.jra', 'lib/a.jaar'] })
    expect(fixture.failure([one, two])).toBe(
      'INVALID Cannot use "two": nothing selected: files "*.jra", "lib/a.jaar" match nothing; the artifact has "bin/run", "docs/guide.md", "docs/old/notes.md", "lib/a-sources.jar", "lib/a.jar", "lib/link.jar"; did you mean "lib/a.jar"?',
    )
  })
})

describe('attacks on the builder', () => {
  test("a link that stays in its own artifact is led out by another artifact's link in its way", async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ 'a/b/f': 'f', s: { link: 'a/b' }, l: { link: 's/../../x' } })
    const two = fixture.source({ s: { link: '.' } })
    expect(fixture.failure([one, two])).toBe(
      'INVALID Cannot put "one" into one volume with the other sources: its symbolic link "l" to "s/../../x" would leave the volume by way of what another source has there; give it another "path"',
    )
  })

  test("a link's directory is left out by the globs, and another artifact's links take its place", async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ 'p/s': { link: 't' }, 'p/t/b': { link: '../..' } })
    const content = { 's/b/g': 'g', f: 'f', l: { link: 's/b/../../f' } }
    const two = fixture.source(content, { path: 'p', files: ['/f', '/l'] })
    // By itself it dangles, and harms nobody.
    fixture.build([two])
    fixture.clear()
    expect(fixture.failure([one, two])).toMatch(
      /^INVALID Cannot put "two" into one volume with the other sources: its symbolic link "p\/l" /,
    )
  })

  test('a link that is too long to be followed at once where it comes to stand is refused, not believed', async () => {
    await using fixture = await viewFixture()
    const content = { 'd/f': 'f', l: { link: `${'d/../'.repeat(700)}d/f` } }
    fixture.build([fixture.source(content)])
    fixture.clear()
    const path = ['a', 'b', 'c'].map((name) => name.repeat(255)).join('/')
    expect(fixture.failure([fixture.source(content, { path })])).toMatch(
      /^INVALID Cannot put "two" into one volume /,
    )
  })

  test('a link that is replaced is not looked at any more', async () => {
    await using fixture = await viewFixture()
    const one = fixture.source({ 'a/b/f': 'f', s: { link: 'a/b' }, l: { link: 's/../../x' } })
    const two = fixture.source({ s: { link: '.' }, l: 'a file now' })
    fixture.build([one, two])
    expect(fixture.view()).toMatchObject({ l: 'file 644 a file now' })
  })

  test("a directory of one source is never merged through another's link", async () => {
    await using fixture = await viewFixture()
    const before = fixture.canary()
    const one = fixture.source({ x: { link: '../canary/directory' } })
    const two = fixture.source({ 'x/planted': 'p' })
    expect(fixture.failure([one, two])).toMatch(/^INVALID /)
    const three = fixture.source({ planted: 'p' }, { path: 'x' })
    fixture.clear()
    expect(fixture.failure([one, three])).toMatch(/^INVALID /)
    fixture.clear()
    // A file takes the place of the link, not of what it points to.
    const four = fixture.source({ y: { link: '../canary/secret' } })
    fixture.build([four, fixture.source({ y: 'mine' })])
    expect(fixture.canary()).toEqual(before)
  })

  test('a tree whose root is a link is not followed', async () => {
    await using fixture = await viewFixture()
    const real = fixture.source({ a: 'a' })
    const link = `${real.root}-link`
    symlinkSync(real.root, link)
    expect(fixture.failure([{ name: 'link', root: link }])).toMatch(/^INTERNAL /)
    expect(readdirSync(fixture.root)).toEqual([])
  })
})

describe('the end of a build', () => {
  test('more entries than the limit are EXHAUSTED', async () => {
    await using fixture = await viewFixture()
    const sources = [fixture.source({ a: 'a', b: 'b' }), fixture.source({ c: 'c' })]
    const limits = { ...DEFAULT_TREE_LIMITS, entries: 2 }
    expect(fixture.failure(sources, { limits })).toBe(
      'EXHAUSTED Cannot put the volume together: its sources have more than 2 entries (the limit --max-entries, which an admin can raise)',
    )
    fixture.clear()
    fixture.build(sources, { limits: { ...limits, entries: 3 } })
  })

  test('a cancelled build throws the reason', async () => {
    await using fixture = await viewFixture()
    const reason = new Error('nobody waits')
    const source = fixture.source({ a: 'a' })
    expect(() =>
      buildView(
        { root: fixture.root, limits: DEFAULT_TREE_LIMITS, sources: [source] },
        AbortSignal.abort(reason),
      ),
    ).toThrow(reason)
  })

  test('no descriptor stays open, also when it fails', async () => {
    await using fixture = await viewFixture()
    const open = () => readdirSync('/proc/self/fd').length
    const one = fixture.source({ 'a/b/c/d': 'x' })
    const before = open()
    fixture.build([one])
    fixture.clear()
    fixture.failure([one, fixture.source({ 'a/b/c': 'file' }, {})])
    fixture.clear()
    fixture.failure([one, fixture.source({ x: 'x' }, { path: 'a/b/c/d/e' })])
    expect(open()).toBe(before)
  })
})

function inode(root: string, path: string): number {
  return lstatSync(join(root, path)).ino
}
