import { constants, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  close,
  closeLeft,
  createFileAt,
  linkAt,
  linkFileAt,
  listDirectory,
  makeDirectoryAt,
  openAt,
  openDirectory,
  openDirectoryAt,
  readLinkAt,
  removeDirectoryAt,
  renameAt,
  setTimes,
  statAt,
  symlinkAt,
  trackDescriptors,
  unlinkAt,
} from '../../../driver/linux/directory.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { thrownBy } from '../../support/thrown.ts'

/** A directory `root` with a file, a subdirectory and links, and a secret beside it. */
async function rootWithLinks() {
  const temporary = await temporaryDirectory()
  const root = temporary.file('root')
  mkdirSync(join(root, 'd'), { recursive: true })
  writeFileSync(join(root, 'd', 'f'), 'inside')
  writeFileSync(temporary.file('secret'), 'outside')
  symlinkSync('d', join(root, 'in'))
  symlinkSync('..', join(root, 'up'))
  symlinkSync('/', join(root, 'slash'))
  symlinkSync('/proc/self/root', join(root, 'magic'))
  const fd = openDirectory(root)
  return {
    fd,
    root,
    temporary,
    async [Symbol.asyncDispose]() {
      close(fd)
      await temporary[Symbol.asyncDispose]()
    },
  }
}

/** The error code, or what was read. */
function read(
  fd: number,
  path: string,
  resolution: 'beneath' | 'beneath-links' | 'in-root',
): string {
  try {
    const file = openAt(fd, path, constants.O_RDONLY, resolution)
    try {
      return statSync(`/proc/self/fd/${file}`).isDirectory()
        ? 'a directory'
        : readFileSync(file, 'utf8')
    } finally {
      close(file)
    }
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}

describe('openAt', () => {
  test.for([
    ['d/f', 'inside', 'inside', 'inside'],
    ['in/f', 'ELOOP', 'inside', 'inside'],
    ['../secret', 'EXDEV', 'EXDEV', 'ENOENT'],
    ['d/../../secret', 'EXDEV', 'EXDEV', 'ENOENT'],
    ['/d/f', 'EXDEV', 'EXDEV', 'inside'],
    ['up/secret', 'ELOOP', 'EXDEV', 'ENOENT'],
    ['up/d/f', 'ELOOP', 'EXDEV', 'inside'],
    ['slash/d/f', 'ELOOP', 'EXDEV', 'inside'],
    ['magic/etc/passwd', 'ELOOP', 'EXDEV', 'ENOENT'],
  ] as const)(
    '%s: beneath %s, beneath-links %s, in-root %s',
    async ([path, beneath, links, inRoot]) => {
      await using fixture = await rootWithLinks()
      expect({
        beneath: read(fixture.fd, path, 'beneath'),
        'beneath-links': read(fixture.fd, path, 'beneath-links'),
        'in-root': read(fixture.fd, path, 'in-root'),
      }).toEqual({ beneath, 'beneath-links': links, 'in-root': inRoot })
    },
  )

  test('enters no other file system, in no way', async () => {
    const fd = openDirectory('/')
    for (const resolution of ['beneath', 'beneath-links', 'in-root'] as const) {
      expect(read(fd, 'proc/version', resolution)).toBe('EXDEV')
    }
    close(fd)
  })

  test('opens names that are not UTF-8', async () => {
    await using fixture = await rootWithLinks()
    const name = Buffer.from([0xff, 0xfe, 0x61])
    close(createFileAt(fixture.fd, name, 0o600))
    expect([...listDirectory(fixture.fd)].map((entry) => Buffer.from(entry.name))).toContainEqual(
      name,
    )
    unlinkAt(fixture.fd, name)
    expect(statAt(fixture.fd, name)).toBeUndefined()
  })
})

describe('an entry', () => {
  test('is created, linked, renamed, read and removed by its name in a directory', async () => {
    await using fixture = await rootWithLinks()
    const { fd, root, temporary } = fixture
    makeDirectoryAt(fd, 'new', 0o750)
    const sub = openDirectoryAt(fd, 'new')
    const file = createFileAt(sub, 'f', 0o640)
    setTimes(file, { seconds: -2, nanoseconds: 500_000_001 })
    close(file)
    expect(statAt(sub, 'f')).toMatchObject({ mode: 0o100640n, mtimeNs: -1_499_999_999n })
    linkAt(sub, 'f', fd, 'g')
    linkFileAt(temporary.file('secret'), sub, 'blob')
    symlinkAt('../é', sub, 'l')
    expect(readLinkAt(sub, 'l')).toBe('../é')
    renameAt(sub, 'l', fd, 'm')
    expect(() => renameAt(fd, 'g', fd, 'm')).toThrow(/^EEXIST: renameat2 'g'/)
    expect(() => createFileAt(fd, 'm', 0o600)).toThrow(/^EEXIST/)
    expect(
      [...listDirectory(sub)].map(({ name, type }) => `${type} ${Buffer.from(name)}`).sort(),
    ).toEqual(['file blob', 'file f'])
    expect(() => removeDirectoryAt(fd, 'new')).toThrow(/^ENOTEMPTY/)
    for (const name of ['blob', 'f']) unlinkAt(sub, name)
    close(sub)
    removeDirectoryAt(fd, 'new')
    expect(statSync(join(root, 'g')).nlink).toBe(1)
    expect(readFileSync(temporary.file('secret'), 'utf8')).toBe('outside')
  })

  test.for(['', '.', '..', 'a/b', '../a', '/a', 'a\0b'])('is never named %j', async (name) => {
    await using fixture = await rootWithLinks()
    const { fd } = fixture
    for (const asName of [name, Buffer.from(name)]) {
      for (const call of [
        () => createFileAt(fd, asName, 0o600),
        () => makeDirectoryAt(fd, asName, 0o700),
        () => unlinkAt(fd, asName),
        () => removeDirectoryAt(fd, asName),
        () => symlinkAt('x', fd, asName),
        () => linkAt(fd, asName, fd, 'x'),
        () => linkAt(fd, 'up', fd, asName),
        () => renameAt(fd, 'up', fd, asName),
        () => linkFileAt('/etc/passwd', fd, asName),
        () => statAt(fd, asName),
      ]) {
        expect(thrownBy(call)).toMatch(
          /^INTERNAL (Not a directory entry's name|A path must not contain NUL)/,
        )
      }
    }
  })
})

test('a directory of thousands of entries is listed whole', async () => {
  await using fixture = await rootWithLinks()
  const sub = openDirectoryAt(fixture.fd, 'd')
  for (let i = 0; i < 3000; i++) close(createFileAt(sub, `${'n'.repeat(50)}${i}`, 0o600))
  for (const _ of [1, 2]) expect([...listDirectory(sub)]).toHaveLength(3001)
  close(sub)
})

test('what a thread left open is closed by its note', async () => {
  await using fixture = await rootWithLinks()
  const note = new Uint8Array(new SharedArrayBuffer(1024))
  trackDescriptors(note)
  const [kept, left] = [openDirectoryAt(fixture.fd, 'd'), openDirectoryAt(fixture.fd, 'd')]
  close(kept)
  expect(note.indexOf(1)).toBe(left)
  closeLeft(note)
  expect(() => statSync(`/proc/self/fd/${left}`)).toThrow('ENOENT')
  expect(note.indexOf(1)).toBe(-1)
})
