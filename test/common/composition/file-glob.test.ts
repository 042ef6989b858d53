import { expect, test } from 'vitest'
import { fileGlobProblem } from '../../../common/composition/file-glob.ts'

test.for([
  '*.jar',
  '!*-sources.jar',
  '/lib/',
  'docs/**',
  '[a-z]?',
  '[[:alpha:]]x',
  '[a/]'.replace('/', '\\]'),
  '\\#x',
  '\\{a,b\\}',
  'a\\ ',
  ' a',
  'ä b',
  '}',
  ']',
])('finds nothing wrong with %s', (glob) => {
  expect(fileGlobProblem(glob)).toBeUndefined()
})

test.for([
  ['/', 'found "/", which matches nothing; expected a glob, e.g. "*.jar"'],
  ['!', 'found "!", which matches nothing; expected a glob, e.g. "*.jar"'],
  ['', 'found "", which matches nothing; expected a glob, e.g. "*.jar"'],
  ['#x', 'found "#x", a comment to gitignore; expected "\\\\#" for a name that starts with "#"'],
  ['x ', 'found "x ", which ends with a blank; expected none, or "\\\\ " for a name that ends so'],
  [
    'lib/../x',
    'found "lib/../x", which cannot match: no path in an artifact has ".."; expected a path in it',
  ],
  [
    './lib//x',
    'found "./lib//x", which cannot match: paths in an artifact have no "." and no empty part; expected "lib/x"',
  ],
  [
    '.',
    'found ".", which cannot match: paths in an artifact have no "." and no empty part; expected the path of a file',
  ],
  ['a[b', 'found "a[b", whose "[" has no "]"; expected e.g. "[a-z]", or "\\\\[" for the character'],
  [
    '[a/b]',
    'found "[a/b]", whose "[" has no "]"; expected e.g. "[a-z]", or "\\\\[" for the character',
  ],
  ['[]', 'found "[]", whose "[" has no "]"; expected e.g. "[a-z]", or "\\\\[" for the character'],
  ['[!]', 'found "[!]", whose "[" has no "]"; expected e.g. "[a-z]", or "\\\\[" for the character'],
  ['x\\', 'found "x\\\\", which ends with a lone "\\"; expected "\\\\\\\\" for the character'],
  [
    '*.{jar,war}',
    'found "*.{jar,war}", but gitignore has no "{a,b}"; expected a glob for each, or "\\\\{" for the character',
  ],
  ['a'.repeat(257), 'found a glob of 257 characters; expected at most 256'],
] as const)('says what is wrong with %s', ([glob, problem]) => {
  expect(fileGlobProblem(glob)).toBe(problem)
})
