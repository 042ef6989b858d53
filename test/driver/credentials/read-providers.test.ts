import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { readProviders } from '../../../driver/credentials/read-providers.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const CONFIG = JSON.stringify({
  apiVersion: 'kubelet.config.k8s.io/v1',
  kind: 'CredentialProviderConfig',
  providers: [
    {
      name: 'ecr',
      matchImages: ['*.amazonaws.com'],
      defaultCacheDuration: '12h',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    },
  ],
})

async function files(text: string | Uint8Array = CONFIG) {
  const directory = await temporaryDirectory()
  const configFile = directory.file('providers.json')
  const binDirectory = directory.file('bin')
  await writeFile(configFile, text)
  await mkdir(binDirectory)
  return {
    configFile,
    binDirectory,
    program: directory.file('bin', 'ecr'),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

test('reads providers whose programs are there', async () => {
  await using at = await files()
  await writeFile(at.program, '', { mode: 0o755 })
  expect((await readProviders(at)).map(({ name }) => name)).toEqual(['ecr'])
})

test('refuses a program that is missing, may not run, or is a directory', async () => {
  await using at = await files()
  const refused = (reason: string) => ({
    code: 'INVALID',
    message: `Cannot run the program "${at.program}" of the credential provider "ecr": ${reason}`,
  })
  await expect(readProviders(at)).rejects.toMatchObject(refused('ENOENT'))
  await writeFile(at.program, '')
  await chmod(at.program, 0o644)
  await expect(readProviders(at)).rejects.toMatchObject(refused('EACCES'))
  await using other = await files()
  await mkdir(other.program)
  await expect(readProviders(other)).rejects.toMatchObject({
    message: `Cannot run the program "${other.program}" of the credential provider "ecr": not a file`,
  })
})

test('refuses a file that is missing, not text, or too large', async () => {
  await using at = await files(Buffer.from([0xff, 0xfe]))
  await expect(readProviders(at)).rejects.toMatchObject({
    code: 'INVALID',
    message: `Cannot read "${at.configFile}": not UTF-8`,
  })
  const configFile = `${at.configFile}.absent`
  await expect(readProviders({ ...at, configFile })).rejects.toMatchObject({
    message: `Cannot read "${configFile}": ENOENT`,
  })
  await writeFile(at.configFile, ' '.repeat(1024 * 1024 + 1))
  await expect(readProviders(at)).rejects.toMatchObject({
    message: `Cannot use "${at.configFile}": larger than 1048576 bytes`,
  })
})

test('reads all files of a directory, in the order of their names, and refuses a name twice', async () => {
  await using at = await files()
  const configFile = `${at.configFile}.d`
  await mkdir(configFile)
  await expect(readProviders({ ...at, configFile })).rejects.toMatchObject({
    message: `Cannot use "${configFile}": it has no .json, .yaml or .yml file`,
  })
  await writeFile(at.program, '', { mode: 0o755 })
  await writeFile(`${at.binDirectory}/acr`, '', { mode: 0o755 })
  await writeFile(`${configFile}/2.yaml`, CONFIG)
  await writeFile(`${configFile}/1.json`, CONFIG.replace('"ecr"', '"acr"'))
  await writeFile(`${configFile}/README`, 'no configuration')
  const read = await readProviders({ ...at, configFile })
  expect(read.map(({ name }) => name)).toEqual(['acr', 'ecr'])
  await writeFile(`${configFile}/3.yml`, CONFIG)
  await expect(readProviders({ ...at, configFile })).rejects.toMatchObject({
    code: 'INVALID',
    message: `${configFile}/3.yml: the provider "ecr" is in another file too`,
  })
})
