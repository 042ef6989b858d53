import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createFileFilter, type Reach } from '../../../common/composition/file-filter.ts'
import { fileGlobProblem } from '../../../common/composition/file-glob.ts'
import { skipUnless, whyNoProgram } from '../../support/skip-unless.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

describe('createFileFilter', () => {
  test.for<[name: string, globs: readonly string[] | undefined, path: string, selected: boolean]>([
    ['everything without globs', undefined, 'a/b', true],
    ['a name at any depth', ['*.jar'], 'lib/deep/app.jar', true],
    ['nothing else', ['*.jar'], 'lib/app.war', false],
    ['a name with a leading dot', ['*.jar'], '.hidden.jar', true],
    ['a path from the root, once there is a slash in it', ['lib/*.jar'], 'lib/app.jar', true],
    ['not that path below another directory', ['lib/*.jar'], 'opt/lib/app.jar', false],
    ['a name at the root only, with a slash before it', ['/app.jar'], 'lib/app.jar', false],
    ['not across a slash with one star', ['lib/*.jar'], 'lib/deep/app.jar', false],
    ['across slashes with two', ['lib/**/*.jar'], 'lib/deep/er/app.jar', true],
    ['no directory at all with two', ['lib/**/*.jar'], 'lib/app.jar', true],
    ['all that is in a directory that a glob means', ['lib'], 'lib/deep/app.jar', true],
    ['a directory by its name, at any depth', ['lib/'], 'opt/lib/app.jar', true],
    ['no file by a glob for directories', ['lib/'], 'opt/lib', false],
    ['the last glob that matches', ['*.jar', '!*-sources.jar'], 'app-sources.jar', false],
    ['again what is taken back', ['*', '!*.jar', 'app.jar'], 'app.jar', true],
    ['not what a later glob takes out of a directory', ['lib', '!lib/x.jar'], 'lib/x.jar', false],
    ['the rest of that directory', ['lib', '!lib/x.jar'], 'lib/y.jar', true],
    ['everything but what only "!" globs name', ['!docs', '!*.md'], 'bin/run', true],
    ['not a file below such a directory', ['!docs', '!*.md'], 'docs/deep/x.txt', false],
    ['a class of characters', ['[a-c]?.txt'], 'b1.txt', true],
    ['what such a class excludes', ['[!a-c].txt'], 'b.txt', false],
    ['a character that is escaped', ['\\!important'], '!important', true],
    ['no extended globs', ['@(a|b)'], 'a', false],
    ['a name with a backslash', ['a\\\\b'], 'a\\b', true],
  ])('selects %s', ([, globs, path, selected]) => {
    expect(createFileFilter(globs).selects(path, 'file')).toBe(selected)
  })

  test.for<[globs: readonly string[] | undefined, directory: string, reach: Reach]>([
    [undefined, '', 'all'],
    [['*.jar'], '', 'some'],
    [['*.jar'], 'lib', 'some'],
    [['*.jar'], 'x.jar/y', 'all'],
    [['**'], '', 'all'],
    [['*'], '', 'all'],
    [['**/*'], '', 'all'],
    [['*/'], '', 'some'],
    [['*/*'], '', 'some'],
    [['*/*'], 'lib', 'all'],
    [['lib'], 'lib', 'all'],
    [['lib/'], 'lib', 'all'],
    [['lib/**'], 'lib', 'all'],
    [['lib/*'], 'lib', 'all'],
    [['lib/*'], 'lib/deep', 'all'],
    [['/lib'], 'opt', 'none'],
    [['/lib'], 'opt/lib', 'none'],
    [['/lib/x'], 'lib', 'some'],
    [['/lib/x'], 'lib/y', 'none'],
    [['**/x/*.jar'], 'a/b', 'some'],
    [['lib', '!lib/x.jar'], 'lib', 'some'],
    [['lib', '!lib'], 'lib', 'none'],
    [['lib', '!opt/x'], 'lib', 'all'],
    [['!docs'], 'docs', 'none'],
    [['!docs'], 'docs/deep', 'none'],
    [['!/docs'], 'lib', 'all'],
    [['!docs'], '', 'some'],
    [['!*'], '', 'none'],
    [['!*', '/lib/x'], 'lib', 'some'],
  ])('%j reach into "%s": %s', ([globs, directory, reach]) => {
    expect(createFileFilter(globs).reach(directory)).toBe(reach)
  })

  test('never says of a directory what does not hold for a file in it', () => {
    fc.assert(
      fc.property(lists, paths, (globs, path) => {
        const filter = createFileFilter(globs)
        const selected = filter.selects(path, 'file')
        for (let at = path.lastIndexOf('/'); ; at = path.lastIndexOf('/', at - 1)) {
          const directory = path.slice(0, Math.max(at, 0))
          const reach = filter.reach(directory)
          expect(reach, `${JSON.stringify(globs)} in "${directory}"`).not.toBe(
            selected ? 'none' : 'all',
          )
          if (at <= 0) break
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('means by one glob what git means', async (context) => {
    skipUnless(context, await whyNoProgram('git'))
    await using directory = await temporaryDirectory()
    const git = (args: readonly string[], input?: string) =>
      execFileSync('git', ['-c', 'core.quotePath=false', '-C', directory.path, ...args], {
        stdio: ['pipe', 'pipe', 'pipe'],
        ...(input !== undefined && { input }),
      }).toString()
    git(['init', '-q'])
    for (const glob of GLOBS) {
      expect(fileGlobProblem(glob), glob).toBeUndefined()
      await writeFile(directory.file('.git', 'info', 'exclude'), `${glob}\n`)
      let ignored: readonly string[] = []
      try {
        const args = ['check-ignore', '--no-index', '--stdin', '-z']
        ignored = git(args, PATHS.join('\0')).split('\0').filter(Boolean)
      } catch {
        // Exit code 1: none is.
      }
      const filter = createFileFilter([glob])
      const ours = PATHS.filter((path) => filter.selects(path, 'file'))
      expect({ glob, selected: ours }).toEqual({ glob, selected: ignored })
    }
  })

  test.for<[name: string, glob: string, path: string]>([
    ['stars and letters', '*a'.repeat(128), `${'a'.repeat(254)}b`],
    ['stars and question marks', `${'*?'.repeat(120)}z`, `${'a'.repeat(254)}/`.repeat(15)],
    ['classes', '*[ab]'.repeat(50), `${'ab'.repeat(120)}c/`.repeat(15)],
    ['double stars', `${'**/a*/'.repeat(42)}z`, 'a/'.repeat(63)],
    [
      'double stars between hostile names',
      '**/*a*a*a*a*b/'.repeat(18),
      'aaaaaaaaaaaaaaa/'.repeat(63),
    ],
  ])('is not held up by a hostile glob: %s', ([, glob, name]) => {
    expect(fileGlobProblem(glob)).toBeUndefined()
    const filter = createFileFilter(Array.from({ length: 64 }, () => glob))
    // Regular expressions do not come back from these within the life of the universe.
    expect(filter.selects(`${name}c`, 'file')).toBe(false)
    expect(filter.reach(name.replace(/\/$/, ''))).not.toBe('all')
  })
})

const PARTS = ['a', 'b', 'lib', 'x.jar', 'y.jar', '.hidden']
const GLOB_PARTS = [...PARTS, '*', '**', '*.jar', '?', 'l*', '[ab]', '[!a]', '*.*']
const parts = (from: readonly string[]) =>
  fc.array(fc.constantFrom(...from), { minLength: 1, maxLength: 4 }).map((list) => list.join('/'))
const paths = parts(PARTS)
const lists = fc.array(
  fc
    .tuple(
      fc.constantFrom('', '!'),
      fc.constantFrom('', '/'),
      parts(GLOB_PARTS),
      fc.constantFrom('', '/'),
    )
    .map((texts) => texts.join('')),
  { minLength: 1, maxLength: 4 },
)

const PATHS = [
  ...['a', 'a.jar', '.a.jar', 'lib', 'b[c]', '!x', '#y', 'a b', 'A', 'ä.txt', 'x*y', 'back\\slash'],
  ...[
    'lib/a',
    'lib/a.jar',
    'lib/.b',
    'lib/deep/a.jar',
    'lib/deep/er/a',
    'opt/lib/a.jar',
    'opt/x/a',
  ],
  ...['a/b/c/d', 'a/b/d', 'a/d', 'abd/x', 'docs/lib/x/y.jar', 'foo/bar/lib', 'lib-x/a', 'libx'],
]
const GLOBS = [
  ...[
    'a',
    '*',
    '**',
    '*.jar',
    '/a',
    '/*',
    '/*.jar',
    'lib',
    'lib/',
    '/lib',
    '/lib/',
    'lib/*',
    'lib/**',
  ],
  ...[
    'lib/*.jar',
    'lib/**/*.jar',
    '**/lib',
    '**/lib/',
    '**/lib/**',
    '**/a',
    'a/**/d',
    'a/*/d',
    '*/a',
  ],
  ...['*/lib', '**/*.jar', '?', '??', 'l?b', '[ab]', '[!a]', '[^a]', '[a-z]', '[A-Z]', 'b\\[c\\]'],
  ...[
    '\\!x',
    '\\#y',
    'a b',
    'ä.*',
    'x\\*y',
    'back\\\\slash',
    '*lib*',
    'a*',
    '*a',
    'a**',
    '**a',
    'a**d',
  ],
  ...['[[:upper:]]', '.*', 'lib/deep', '/opt/**/a', '*/*/*', '*/', '**/', 'x*', '***', 'lib/***'],
]
