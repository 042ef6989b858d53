import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { createDockerConfigKeyring } from '../../../driver/credentials/docker-config-file.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const SECRET = 'hunter2hunter2'

function config(...users: string[]): string {
  const entries = users.map((username, at) => [
    at === 0 ? 'ghcr.io' : `ghcr.io/${username}`,
    { username, password: SECRET },
  ])
  return JSON.stringify({ auths: Object.fromEntries(entries) })
}

async function configFile() {
  const directory = await temporaryDirectory()
  const path = directory.file('config.json')
  const warnings: string[] = []
  const keyring = createDockerConfigKeyring({ path, warn: (message) => warnings.push(message) })
  return {
    directory,
    path,
    warnings,
    async users(registry = 'ghcr.io', repository = 'acme/app') {
      const users: string[] = []
      const signal = new AbortController().signal
      for await (const { label, credential } of keyring.lookup(registry, repository, signal)) {
        users.push(credential?.kind === 'basic' ? credential.username : label)
      }
      return users
    },
    /** As the kubelet replaces a mounted secret. */
    async swap(name: string, text: string) {
      await mkdir(directory.file(name))
      await writeFile(directory.file(name, 'config.json'), text)
      await symlink(name, directory.file('..data_tmp'))
      await rename(directory.file('..data_tmp'), directory.file('..data'))
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

test('finds the credentials for a repository, longest entry first', async () => {
  await using at = await configFile()
  await writeFile(at.path, config('all', 'acme'))
  expect(await at.users()).toEqual(['acme', 'all'])
  expect(await at.users('quay.io')).toEqual([])
  expect(at.warnings).toEqual([])
})

test('reads the file again when it is written, replaced, or its link moves', async () => {
  await using at = await configFile()
  await writeFile(at.path, config('first'))
  expect(await at.users()).toEqual(['first'])
  await writeFile(at.path, config('second'))
  expect(await at.users()).toEqual(['second'])
  await writeFile(`${at.path}.new`, config('third!'))
  await rename(`${at.path}.new`, at.path)
  expect(await at.users()).toEqual(['third!'])
  await rm(at.path)
  await at.swap('..1', config('fourth'))
  await symlink('..data/config.json', at.path)
  expect(await at.users()).toEqual(['fourth'])
  await at.swap('..2', config('fifth!'))
  expect(await at.users()).toEqual(['fifth!'])
  expect(at.warnings).toEqual([])
})

test('a broken file leaves the last good one in force, and is told once a version', async () => {
  await using at = await configFile()
  await writeFile(at.path, config('good'))
  await at.users()
  await writeFile(at.path, SECRET)
  expect([await at.users(), await at.users()]).toEqual([['good'], ['good']])
  const [first] = at.warnings
  expect(at.warnings).toEqual([`${at.path}: not valid JSON; what it held before counts`])
  await writeFile(at.path, `${SECRET}${SECRET}`)
  await at.users()
  expect(at.warnings).toEqual([first, first])
  await writeFile(at.path, config('better'))
  expect(await at.users()).toEqual(['better'])
  expect(at.warnings).toHaveLength(2)
})

test('a file that was never good is named in refusals', async () => {
  await using at = await configFile()
  await writeFile(at.path, '{')
  expect(await at.users()).toEqual([
    "docker config of the node (cannot be used, see the driver's log)",
  ])
})

test('a file that is taken away takes its credentials along', async () => {
  await using at = await configFile()
  await writeFile(at.path, config('good'))
  expect(await at.users()).toEqual(['good'])
  await rm(at.path)
  expect([await at.users(), await at.users()]).toEqual([[], []])
  expect(at.warnings).toEqual([
    `There is no docker config "${at.path}"; the node has no credentials of it`,
  ])
  await writeFile(at.path, config('again'))
  expect(await at.users()).toEqual(['again'])
})

test.each<[string, (path: string) => Promise<unknown>, string]>([
  ['a directory', (path) => mkdir(path), 'Cannot use "PATH": not a file'],
  [
    'a file larger than a secret',
    (path) => writeFile(path, ' '.repeat(1024 * 1024 + 1)),
    'Cannot use "PATH": larger than 1048576 bytes',
  ],
])('%s is told, and nothing is read of it', async (_, make, warning) => {
  await using at = await configFile()
  await make(at.path)
  await at.users()
  expect(at.warnings).toEqual([`${warning.replace('PATH', at.path)}; what it held before counts`])
})

test('programs that the file names are told not to be run', async () => {
  await using at = await configFile()
  await writeFile(at.path, JSON.stringify({ credHelpers: { 'ghcr.io': 'x' }, auths: {} }))
  expect(await at.users()).toEqual([])
  expect(at.warnings).toEqual([
    `${at.path}: "credHelpers" names programs of the machine it was written on, which are not run; --credential-provider-config is for programs`,
  ])
})

test('lookups at the same time look at the file once', async () => {
  await using at = await configFile()
  await writeFile(at.path, '{')
  await Promise.all(Array.from({ length: 20 }, () => at.users()))
  expect(at.warnings).toHaveLength(1)
})
