import { access, mkdir, readdir, writeFile } from 'node:fs/promises'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { openNodeKeyring } from '../../../driver/credentials/node-keyring.ts'
import { poll } from '../../support/poll.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const SIGNAL = new AbortController().signal
// Programs start slowly on a busy machine.
const TIMEOUT_MS = 60_000
const API_VERSION = 'credentialprovider.kubelet.k8s.io/v1'

/** A docker config, and two programs that leave a mark when they run. */
async function node() {
  const directory = await temporaryDirectory()
  const file = directory.file
  await mkdir(file('bin'))
  await writeFile(
    file('config.json'),
    JSON.stringify({ auths: { 'ghcr.io': { username: 'config', password: 'p' } } }),
  )
  for (const name of ['first', 'second']) {
    const answer = {
      kind: 'CredentialProviderResponse',
      apiVersion: API_VERSION,
      cacheKeyType: 'Global',
      auth: { 'ghcr.io': { username: name, password: 'p' } },
    }
    const script = `#!/bin/sh\n: > '${file(name)}'\necho '${JSON.stringify(answer)}'\n`
    await writeFile(file('bin', name), script, { mode: 0o755 })
  }
  const providers = {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: ['first', 'second'].map((name) => ({
      name,
      apiVersion: API_VERSION,
      matchImages: ['ghcr.io'],
      defaultCacheDuration: '1h',
    })),
  }
  await writeFile(file('providers.json'), JSON.stringify(providers))
  return {
    config: {
      dockerConfig: file('config.json'),
      providers: { configFile: file('providers.json'), binDirectory: file('bin') },
    },
    options: { log: pino({ level: 'silent' }), env: { PATH: '/usr/bin:/bin' } },
    hasRun: (name: string) =>
      access(file(name)).then(
        () => true,
        () => false,
      ),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

test('finds the docker config first, then each program in the order of their file', async () => {
  await using it = await node()
  using keyring = await openNodeKeyring(it.config, it.options)
  const found = await Array.fromAsync(keyring.lookup('ghcr.io', 'acme/app', SIGNAL))
  expect(
    found.map(({ label, credential }) => [
      label,
      credential?.kind === 'basic' && credential.username,
    ]),
  ).toEqual([
    ['docker config of the node', 'config'],
    ['credential provider "first"', 'first'],
    ['credential provider "second"', 'second'],
  ])
  expect(await Array.fromAsync(keyring.lookup('quay.io', 'acme/app', SIGNAL))).toEqual([])
})

test('runs no program before somebody wants its answer', async () => {
  await using it = await node()
  using keyring = await openNodeKeyring(it.config, it.options)
  for await (const { label } of keyring.lookup('ghcr.io', 'acme/app', SIGNAL)) {
    if (label.includes('first')) break
  }
  expect([await it.hasRun('first'), await it.hasRun('second')]).toEqual([true, false])
})

test('of nothing it finds nothing', async () => {
  await using it = await node()
  using keyring = await openNodeKeyring({}, it.options)
  expect(await Array.fromAsync(keyring.lookup('ghcr.io', 'acme/app', SIGNAL))).toEqual([])
})

test('runs nothing any more once it is closed', async () => {
  await using it = await node()
  const keyring = await openNodeKeyring({ providers: it.config.providers }, it.options)
  keyring[Symbol.dispose]()
  const found = await Array.fromAsync(keyring.lookup('ghcr.io', 'acme/app', SIGNAL))
  expect(found.map(({ label }) => label)).toEqual([
    'credential provider "first" (the driver is stopping)',
    'credential provider "second" (the driver is stopping)',
  ])
  expect(await it.hasRun('first')).toBe(false)
})

test('the attack: programs that hang, for as many registries as a pod names, keep nobody else waiting', {
  timeout: TIMEOUT_MS,
}, async () => {
  await using directory = await temporaryDirectory()
  const { file } = directory
  await mkdir(file('bin'))
  const answer = {
    kind: 'CredentialProviderResponse',
    apiVersion: API_VERSION,
    cacheKeyType: 'Image',
    auth: { 'quick.example': { username: 'quick', password: 'p' } },
  }
  const scripts = {
    slow: `: > '${file('slow-runs')}'/$$; exec sleep 600`,
    slower: `: > '${file('slower-runs')}'/$$; exec sleep 600`,
    quick: `echo '${JSON.stringify(answer)}'`,
  }
  for (const [name, script] of Object.entries(scripts)) {
    await mkdir(file(`${name}-runs`))
    await writeFile(file('bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  }
  const configuration = {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: Object.keys(scripts).map((name) => ({
      name,
      apiVersion: API_VERSION,
      matchImages: [`${name}.example`, `*.${name}.example`],
      defaultCacheDuration: '0s',
    })),
  }
  await writeFile(file('providers.json'), JSON.stringify(configuration))
  const providers = { configFile: file('providers.json'), binDirectory: file('bin') }
  const options = { log: pino({ level: 'silent' }), env: { PATH: '/usr/bin:/bin' } }
  using keyring = await openNodeKeyring({ providers }, options)
  const waiting = ['slow', 'slower'].flatMap((name) =>
    Array.from({ length: 20 }, (_, at) =>
      Array.fromAsync(keyring.lookup(`r${at}.${name}.example`, 'acme/app', SIGNAL)),
    ),
  )
  const runs = async () => [
    (await readdir(file('slow-runs'))).length,
    (await readdir(file('slower-runs'))).length,
  ]
  const isHeld = async () => (await runs()).every((count) => count >= 2)
  await poll(isHeld, { deadlineMs: TIMEOUT_MS, what: 'programs that hang' })

  const found = await Array.fromAsync(keyring.lookup('quick.example', 'acme/app', SIGNAL))
  expect(found.map(({ label }) => label)).toStrictEqual(['credential provider "quick"'])
  expect(found[0]?.credential).toMatchObject({ username: 'quick' })
  // Eight turns are two for each of three.
  expect(await runs()).toStrictEqual([2, 2])

  keyring[Symbol.dispose]()
  const failed = (await Promise.all(waiting)).flat()
  expect(new Set(failed.map(({ label }) => label))).toStrictEqual(
    new Set(
      ['slow', 'slower'].map((name) => `credential provider "${name}" (the driver is stopping)`),
    ),
  )
})
