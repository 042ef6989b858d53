import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { progressBar } from '../../cli/progress-bar.ts'
import { artifact, directoryLayer, index, push } from '../support/artifact.ts'
import { startProcess } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const SITE = directoryLayer('site', [{ path: 'index.html', content: '<p>' }])
const BUILT = artifact({ layers: [{ title: 'bin/run', content: '#!/bin/sh\n' }, SITE] })

function runCli(args: readonly string[], env: Record<string, string> = {}) {
  return startProcess({ args: ['cli/main.ts', ...args], env })
}

describe('oras-csi pull', () => {
  test('lays an artifact out as a pod would see it, and leaves nothing beside it', async () => {
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', BUILT)
    await using directory = await temporaryDirectory()
    await using cli = runCli(['pull', `${registry.host}/acme/app:v1`, directory.file('app')])
    expect(await cli.exited).toEqual({ code: 0, signal: null })
    expect(cli.output()).toMatch(
      new RegExp(
        `^stdout: ${directory.file('app')}: 4 entries, 13 B, from ${BUILT.digest} in \\d+\\.\\d s$`,
      ),
    )
    expect((await readdir(directory.file('app'), { recursive: true })).sort()).toEqual([
      'bin',
      'bin/run',
      'site',
      'site/index.html',
    ])
    expect((await stat(directory.file('app', 'bin/run'))).mode & 0o777).toBe(0o555)
    expect(await readdir(directory.path)).toEqual(['app'])
  })

  test.for([
    {
      name: 'whole layers: the rest is not downloaded',
      flags: ['--select', 'bin/', '--select', '!site'],
      paths: ['bin', 'bin/run'],
      entries: '2 entries, 10 B',
      blobs: 1,
    },
    {
      name: 'files inside an archive, in a directory of the volume',
      flags: ['--select', '*.html', '--path', 'opt/www'],
      paths: ['opt', 'opt/www', 'opt/www/site', 'opt/www/site/index.html'],
      entries: '4 entries, 3 B',
      blobs: 1,
    },
    {
      name: 'archives as they are',
      flags: ['--unpack', 'never', '--media-type', '*+gzip'],
      paths: ['site'],
      entries: `1 entries, ${SITE.content.length} B`,
      blobs: 1,
    },
  ])('lays out what is selected: $name', async ({ flags, paths, entries, blobs }) => {
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', BUILT)
    await using directory = await temporaryDirectory()
    registry.clearRequests()
    const args = ['pull', `${registry.host}/acme/app:v1`, directory.file('app'), ...flags]
    await using cli = runCli(args)
    expect(await cli.exited).toEqual({ code: 0, signal: null })
    expect(cli.output()).toContain(`: ${entries}, from ${BUILT.digest} in `)
    expect((await readdir(directory.file('app'), { recursive: true })).sort()).toEqual(paths)
    expect(registry.count('GET', /\/blobs\//)).toBe(blobs)
    expect(await readdir(directory.path)).toEqual(['app'])
  })

  test('keeps modes when asked to', async () => {
    const built = artifact({
      layers: [directoryLayer('keys', [{ path: 'id', content: 'secret', mode: 0o600 }])],
    })
    await using registry = await startRegistry()
    await push(registry.url, 'acme/keys:1', built)
    await using directory = await temporaryDirectory()
    const modes: number[] = []
    for (const word of ['readable', 'keep']) {
      const target = directory.file(word)
      await using cli = runCli(['pull', `${registry.host}/acme/keys:1`, target, '--modes', word])
      expect(await cli.exited).toEqual({ code: 0, signal: null })
      modes.push((await stat(`${target}/keys/id`)).mode & 0o777)
    }
    expect(modes).toEqual([0o644, 0o600])
  })

  test('takes the platform that is asked for', async () => {
    const child = (word: string) => artifact({ layers: [{ title: `${word}.txt`, content: word }] })
    const built = index(
      ['amd64', 'arm64', 's390x'].map((architecture) => ({
        built: child(architecture),
        platform: { os: 'linux', architecture },
      })),
    )
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', built)
    await using directory = await temporaryDirectory()
    const args = ['pull', `${registry.host}/acme/app:v1`, directory.file('app')]
    await using cli = runCli([...args, '--platform', 'linux/s390x'])
    expect(await cli.exited).toEqual({ code: 0, signal: null })
    expect(await readdir(directory.file('app'))).toEqual(['s390x.txt'])
  })

  test('uses the credentials of docker login', async () => {
    await using registry = await startRegistry({
      auth: { kind: 'basic', users: { alice: 'right' } },
    })
    await push(registry.url, 'acme/app:v1', BUILT, {
      credential: { username: 'alice', password: 'right' },
    })
    await using directory = await temporaryDirectory()
    await writeFile(
      directory.file('config.json'),
      JSON.stringify({ auths: { [registry.host]: { username: 'alice', password: 'right' } } }),
    )
    await using cli = runCli(['pull', `${registry.host}/acme/app:v1`, directory.file('app')], {
      DOCKER_CONFIG: directory.path,
    })
    expect(await cli.exited).toEqual({ code: 0, signal: null })
    expect(await readFile(directory.file('app', 'site/index.html'), 'utf8')).toBe('<p>')
  })

  test.for([
    {
      name: 'a directory that holds something is not touched',
      reference: (host: string) => `${host}/acme/app:v1`,
      target: 'full',
      message: (path: string) =>
        `Cannot pull into "${path}": it is not empty; name a directory that is not there yet`,
    },
    {
      name: 'a directory whose parent is missing',
      reference: (host: string) => `${host}/acme/app:v1`,
      target: 'none/app',
      message: (path: string) => `Cannot pull: the directory "${path.slice(0, -4)}" does not exist`,
    },
    {
      name: 'a reference without tag',
      reference: (host: string) => `${host}/acme/app`,
      target: 'app',
      message: (_: string, host: string) =>
        `Invalid reference "${host}/acme/app": expected a tag or digest, e.g. "${host}/acme/app:latest"`,
    },
    {
      name: 'a selection of no file of an archive',
      reference: (host: string) => `${host}/acme/app:v1`,
      target: 'app',
      flags: ['--select', 'indx.html'],
      message: (_: string, host: string) =>
        `Cannot use "${host}/acme/app:v1": nothing selected: files "indx.html" match nothing; the artifact has "site/index.html"; did you mean "index.html"?`,
    },
    {
      name: 'a selection of no layer',
      reference: (host: string) => `${host}/acme/app:v1`,
      target: 'app',
      flags: ['--media-type', 'text/plain'],
      message: (_: string, host: string) =>
        `Cannot use "${host}/acme/app:v1": nothing selected: mediaTypes "text/plain" match nothing; the manifest has "bin/run" (application/vnd.oci.image.layer.v1.tar, 10 bytes), "site" (application/vnd.oci.image.layer.v1.tar+gzip, ${SITE.content.length} bytes)`,
    },
  ])('$name', async ({ reference, target, message, flags = [] }) => {
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', BUILT)
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('full'))
    await writeFile(directory.file('full', 'precious'), '')
    await using cli = runCli(['pull', reference(registry.host), directory.file(target), ...flags])
    expect(await cli.exited).toEqual({ code: 2, signal: null })
    expect(cli.output()).toBe(`stderr: ${message(directory.file(target), registry.host)}`)
    expect(await readdir(directory.path)).toEqual(['full'])
    expect(await readdir(directory.file('full'))).toEqual(['precious'])
  })

  test('a corrupt blob and Ctrl-C in mid-pull leave nothing', async () => {
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', BUILT)
    await using directory = await temporaryDirectory()
    const args = ['pull', `${registry.host}/acme/app:v1`, directory.file('app')]

    const fault = registry.fault({ method: 'GET', path: /\/blobs\// }, { kind: 'corrupt' })
    await using corrupt = runCli(args)
    expect(await corrupt.exited).toEqual({ code: 2, signal: null })
    expect(await readdir(directory.path)).toEqual([])
    fault.remove()

    using gate = registry.hold({ method: 'GET', path: /\/blobs\// })
    await using interrupted = runCli(args)
    await gate.arrived
    interrupted.kill('SIGINT')
    expect(await interrupted.exited).toEqual({ code: 2, signal: null })
    expect(interrupted.output()).toMatch(/^stderr: .*[Ii]nterrupted$/)
    expect(await readdir(directory.path)).toEqual([])
  })
})

test.for([
  [0, 0, '[........................]   0 % 0 B of 0 B'],
  [1, 3, '[########................]  33 % 1 B of 3 B'],
  [3, 3, '[########################] 100 % 3 B of 3 B'],
] as const)('the bar for %i of %i bytes', ([done, total, bar]) => {
  expect(progressBar({ done, total })).toBe(bar)
})
