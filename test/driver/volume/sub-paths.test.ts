import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkSubPaths } from '../../../driver/volume/sub-paths.ts'
import { failureText } from '../pull/tree/tree-fixture.ts'
import { type Content, viewFixture } from '../pull/view/view-fixture.ts'

const CONTENT: Content = {
  'lib/app.jar': 'a',
  'lib/app-sources.jar': 's',
  'lib/current': { link: 'versions/2' },
  'lib/versions/2/x': 'x',
  'lib/up': { link: '../lib/app.jar' },
  'lib/gone': { link: 'versions/3' },
  loop: { link: 'loop' },
  out: { link: '../../etc' },
  etc: { link: '/etc' },
  within: { link: 'out/passwd' },
  empty: { directory: true },
  'README.md': 'r',
}

test.for([
  'lib',
  'lib/app.jar',
  'empty',
  'lib/current',
  'lib/current/x',
  'lib/up',
  'lib/versions/2',
])('subPath %s is there', async (subPath) => {
  await using fixture = await viewFixture()
  checkSubPaths(fixture.source(CONTENT).root, [subPath])
})

test.for([
  [
    'lib/ap.jar',
    'NOT_FOUND Cannot mount subPath "lib/ap.jar": directory "lib" has no "ap.jar"; did you mean "app.jar"?',
  ],
  [
    'lib/current/y/z',
    'NOT_FOUND Cannot mount subPath "lib/current/y/z": directory "lib/current" has no "y"; did you mean "x"?',
  ],
  [
    'config.yaml',
    'NOT_FOUND Cannot mount subPath "config.yaml": the volume has no "config.yaml"; it has "README.md", "empty", "etc", "lib", "loop", "out", "within"',
  ],
  [
    'empty/x',
    'NOT_FOUND Cannot mount subPath "empty/x": directory "empty" has no "x"; it is empty',
  ],
  [
    'README.md/x',
    'NOT_FOUND Cannot mount subPath "README.md/x": "README.md" is a file, not a directory',
  ],
  ['lib/up/x', 'NOT_FOUND Cannot mount subPath "lib/up/x": "lib/up" is a file, not a directory'],
  [
    'lib/gone',
    'NOT_FOUND Cannot mount subPath "lib/gone": "lib/gone" is a symbolic link to something that is not there',
  ],
  ['loop/x', 'INVALID Cannot mount subPath "loop/x": its symbolic links go in circles'],
] as const)('subPath %s: %s', async ([subPath, message]) => {
  await using fixture = await viewFixture()
  const { root } = fixture.source(CONTENT)
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  expect(failureOf(root, subPath)).toBe(message)
  expect(open()).toBe(before)
})

test.for(['out', 'out/passwd', 'etc', 'etc/passwd', 'within'])(
  'the attack: subPath %s leads out of the volume by a symbolic link, into the host',
  async (subPath) => {
    await using fixture = await viewFixture()
    expect(failureOf(fixture.source(CONTENT).root, subPath)).toBe(
      `INVALID Cannot mount subPath "${subPath}": it is or crosses a symbolic link that leaves the volume; the kubelet does not mount what lies outside`,
    )
  },
)

test('in a writable volume one may be missing, and still not lead out or through a file', async () => {
  await using fixture = await viewFixture()
  const { root } = fixture.source(CONTENT)
  checkSubPaths(root, ['nix', 'lib/new/deep', 'lib'], { mayLack: true })
  const failure = (subPath: string) => {
    try {
      checkSubPaths(root, ['nix', subPath], { mayLack: true })
    } catch (error) {
      return failureText(error)
    }
    return 'nothing was thrown'
  }
  expect(failure('out/passwd')).toMatch(/^INVALID .* leaves the volume/)
  expect(failure('README.md/x')).toMatch(/^NOT_FOUND .* is a file, not a directory$/)
})

test('each of several is looked at', async () => {
  await using fixture = await viewFixture()
  expect(failureOf(fixture.source(CONTENT).root, 'lib', 'empty', 'nix')).toMatch(
    /^NOT_FOUND .* "nix"/,
  )
})

function failureOf(root: string, ...subPaths: readonly string[]): string {
  try {
    checkSubPaths(root, subPaths)
  } catch (error) {
    return failureText(error)
  }
  return 'nothing was thrown'
}
