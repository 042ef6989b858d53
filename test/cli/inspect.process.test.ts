import { readdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../common/oci/digest.ts'
import { artifact, type Built, directoryLayer, image, index, push } from '../support/artifact.ts'
import { startProcess } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { tarOf } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const JAR = 'application/java-archive'
const TGZ = 'application/vnd.oci.image.layer.v1.tar+gzip'
const SITE = directoryLayer('site', [{ path: 'index.html', content: '<p>' }])
const APP = artifact({
  artifactType: 'application/vnd.acme.app',
  layers: [
    { title: 'lib/app.jar', content: 'app'.repeat(1000), mediaType: JAR },
    { title: 'README.md', content: '# app', mediaType: 'text/markdown' },
    SITE,
  ],
})
const child = (word: string) => artifact({ layers: [{ title: `${word}.txt`, content: word }] })
const PLATFORMS = {
  amd64: { built: child('amd64'), platform: { os: 'linux', architecture: 'amd64' } },
  arm64: { built: child('arm64'), platform: { os: 'linux', architecture: 'arm64' } },
  attestation: {
    built: child('attestation'),
    platform: { os: 'unknown', architecture: 'unknown' },
  },
}
const INDEX = index(Object.values(PLATFORMS))

/** Runs `oras-csi inspect` on what was pushed as `acme/app:v1`; HOST stands for the registry in what it writes. */
async function inspect(built: Built, ...flags: readonly string[]) {
  await using registry = await startRegistry()
  await push(registry.url, 'acme/app:v1', built)
  await using directory = await temporaryDirectory()
  registry.clearRequests()
  const reference = `${registry.host}/acme/app:v1`
  await using cli = startProcess({
    args: ['cli/main.ts', 'inspect', reference, ...flags],
    env: { HOME: directory.path },
  })
  const { code } = await cli.exited
  expect(await readdir(directory.path)).toEqual([])
  expect(registry.count(undefined, /\/blobs\//)).toBe(0)
  const text = (stream: 'stdout' | 'stderr') =>
    cli.lines
      .filter((line) => line.stream === stream)
      .map((line) => line.text.replaceAll(registry.host, 'HOST'))
  return { code, stdout: text('stdout'), stderr: text('stderr') }
}

describe('oras-csi inspect', () => {
  test('shows what would land where, what is left out and why, and how much is downloaded', async () => {
    expect(await inspect(APP, '--select', '*.jar', '--select', 'site', '--path', 'opt')).toEqual({
      code: 0,
      stdout: [
        'reference  HOST/acme/app:v1',
        `manifest   ${APP.digest}`,
        'type       application/vnd.acme.app',
        '',
        `file       opt/lib/app.jar  2.9 KiB    ${JAR}`,
        `archive    opt/site/        ${`${SITE.content.length} B`.padEnd(9)}  ${TGZ}`,
        'skipped    README.md        5 B        text/markdown                                not selected by files',
        '',
        `download   3.1 KiB in 2 blobs`,
      ],
      stderr: [],
    })
  })

  test('as JSON', async () => {
    const { code, stdout } = await inspect(APP, '--json', '--media-type', 'text/*', '--select=*.md')
    expect(code).toBe(0)
    expect(JSON.parse(stdout.join('\n'))).toEqual({
      reference: 'HOST/acme/app:v1',
      digest: APP.digest,
      manifest: APP.digest,
      artifactType: 'application/vnd.acme.app',
      flavour: 'artifact',
      placed: [
        {
          ...{ kind: 'file', path: 'README.md', mediaType: 'text/markdown' },
          ...{ digest: digestOf('# app'), size: 5, whole: true },
        },
      ],
      skipped: [
        {
          ...{ mediaType: JAR, digest: digestOf('app'.repeat(1000)), size: 3000 },
          ...{ title: 'lib/app.jar', reason: 'not selected by mediaTypes' },
        },
        {
          ...{ mediaType: TGZ, digest: digestOf(SITE.content), size: SITE.content.length },
          ...{ title: 'site', reason: 'not selected by mediaTypes' },
        },
      ],
      view: false,
      download: { blobs: 1, bytes: 5 },
    })
  })

  test('an image, and archives of which files are selected', async () => {
    const built = image({ layers: [tarOf([{ path: 'etc/os-release', content: 'x' }])] })
    const { stdout } = await inspect(built, '--select', '/etc/')
    expect(stdout.slice(2, 5)).toEqual([
      'layout     one root file system of all layers',
      '',
      expect.stringMatching(
        /^archive {4}\.\/ {9}\d+ B {6}application\/vnd\.oci\.image\.layer\.v1\.tar\+gzip {2}files that are selected$/,
      ),
    ])
  })

  test('the platforms of an index and the one that is chosen', async () => {
    const { stdout } = await inspect(INDEX, '--platform', 'linux/aarch64')
    expect(stdout.slice(0, 6)).toEqual([
      'reference  HOST/acme/app:v1',
      `index      ${INDEX.digest}`,
      'platforms  linux/amd64, linux/arm64 (chosen), unknown/unknown',
      `manifest   ${PLATFORMS.arm64.built.digest}`,
      'type       application/vnd.unknown.artifact.v1',
      '',
    ])
    expect(stdout[6]).toMatch(/^file {7}arm64\.txt /)
  })

  test('a title with escape sequences does not reach the terminal', async () => {
    const built = artifact({
      layers: [
        { title: 'a.txt', content: 'a', mediaType: 'text/plain' },
        { title: '\u001b]0;owned\u0007\u202e', content: 'b', mediaType: 'text/css' },
      ],
    })
    const { stdout } = await inspect(built, '--media-type', 'text/plain')
    expect(stdout[4]).toBe('file       a.txt                           1 B        text/plain')
    expect(stdout[5]).toBe(
      'skipped    "\\u001b]0;owned\\u0007\\u{202e}"  1 B        text/css    not selected by mediaTypes',
    )
  })

  test.for<[name: string, built: Built, flags: readonly string[], message: string]>([
    [
      'a selection of nothing',
      APP,
      ['--media-type', 'text/markdwn'],
      `Cannot use "HOST/acme/app:v1": nothing selected: mediaTypes "text/markdwn" match nothing; the manifest has "lib/app.jar" (${JAR}, 3000 bytes), "README.md" (text/markdown, 5 bytes), "site" (${TGZ}, ${SITE.content.length} bytes); did you mean "text/markdown"?`,
    ],
    [
      'a platform that there is not',
      INDEX,
      ['--platform', 'linux/riscv64'],
      'Cannot use "HOST/acme/app:v1": no manifest for platform "linux/riscv64": the index has linux/amd64, linux/arm64',
    ],
    [
      'a platform that is none',
      APP,
      ['--platform', 'arm64'],
      'Invalid --platform "arm64": expected os/arch or os/arch/variant, e.g. "linux/arm64"',
    ],
    [
      'a glob that cannot match',
      APP,
      ['--select', '*.{jar,war}'],
      'Invalid --select "*.{jar,war}": found "*.{jar,war}", but gitignore has no "{a,b}"; expected a glob for each, or "\\\\{" for the character',
    ],
    [
      'an annotation without a glob',
      APP,
      ['--annotation', 'com.acme.kind'],
      'Invalid --annotation "com.acme.kind": expected KEY=GLOB, e.g. "com.acme.kind=plugin-*"',
    ],
    [
      'another word',
      APP,
      ['--unpack', 'allways'],
      'Invalid --unpack "allways": expected one of auto, always, never; did you mean "always"?',
    ],
    [
      'an unknown flag',
      APP,
      ['--mediatype', 'x/y'],
      'Unknown flag "--mediatype"; did you mean "media-type"? (--help lists them)',
    ],
    [
      'an absolute path',
      APP,
      ['--path', '/opt'],
      'Invalid --path "/opt": "/opt" is absolute; expected a path inside the volume, e.g. "opt"',
    ],
  ])('refuses %s', async ([, built, flags, message]) => {
    expect(await inspect(built, ...flags)).toEqual({ code: 2, stdout: [], stderr: [message] })
  })
})

test('uses the credentials of docker login', async () => {
  await using registry = await startRegistry({ auth: { kind: 'basic', users: { alice: 'right' } } })
  const credential = { username: 'alice', password: 'right' }
  await push(registry.url, 'acme/app:v1', APP, { credential })
  await using directory = await temporaryDirectory()
  await writeFile(
    directory.file('config.json'),
    JSON.stringify({ auths: { [registry.host]: credential } }),
  )
  const reference = `${registry.host}/acme/app:v1`
  await using cli = startProcess({
    args: ['cli/main.ts', 'inspect', reference],
    env: { DOCKER_CONFIG: directory.path },
  })
  expect(await cli.exited).toEqual({ code: 0, signal: null })
})
