import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { ANNOTATIONS } from '../../common/composition/composition.ts'
import { FIELD_NAMES } from '../../common/composition/entry-field.ts'
import { keyringOf } from '../../common/oci/credentials.ts'
import { createHosts } from '../../common/oci/hosts.ts'
import { parseReference } from '../../common/oci/reference.ts'
import { createRegistrySource } from '../../common/oci/registry-source.ts'
import { formatProgress } from '../../driver/pull/format-progress.ts'
import { mutate } from '../../webhook/mutate.ts'
import { at, CHECKOUT, objectIn, objectNamed, readBase } from '../manifests/manifest-objects.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { thrownBy } from '../support/thrown.ts'

const PAGES = ['README.md', 'CONTRIBUTING.md', 'manifests/examples/README.md'] as const
const readme = await readPage('README.md')

/** Said by the API server and the kubelet, followed by what we cannot know. */
const OF_KUBERNETES = [
  'failed calling webhook "mutate.csi.oras.land"',
  'driver name csi.oras.land not found in the list of registered CSI drivers',
]

describe('README.md', () => {
  test('can be read at one go', async () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(151)
    expect((await readPage('CONTRIBUTING.md')).split('\n').length).toBeLessThanOrEqual(61)
  })

  test('shows a pod as the webhook makes it', () => {
    const [before, after] = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) =>
      parse(text ?? ''),
    )
    const { pod, warnings } = mutate(objectIn(before, 'spec', 'template'))
    expect(pod['spec']).toEqual(at(after, 'spec'))
    expect(warnings).toEqual([])
  })

  test('has the annotations and the fields of an entry, all of them, in the order of the code', () => {
    const names = firstColumn(readme)
    expect(names.filter((name) => name.startsWith('oras.land/') && !name.includes(' '))).toEqual(
      Object.values(ANNOTATIONS),
    )
    expect(names.filter((name) => /^[a-zA-Z]+$/.test(name))).toEqual(FIELD_NAMES)
  })

  test('has the messages that the code writes', async () => {
    const policy = objectNamed(
      await readBase(),
      'ValidatingAdmissionPolicy oras-csi-artifacts-applied',
    )
    const written = [
      denial('/app: ghcr.io/acme/app'),
      String(at(policy, 'spec', 'validations', 0, 'message')),
      await refusedPull(),
      await untrustedPull(),
      await pendingPull(),
    ]
    const shown = firstColumn(readme).filter((name) => name.includes(' '))
    const unknown = shown.filter(
      (message) =>
        !OF_KUBERNETES.includes(message) && !written.some((text) => text.startsWith(message)),
    )
    expect({ unknown, written }).toEqual({ unknown: [], written })
    expect(shown).toHaveLength(written.length + OF_KUBERNETES.length)
    const webhook = objectNamed(await readBase(), 'MutatingWebhookConfiguration oras-csi')
    expect(OF_KUBERNETES[0]).toContain(at(webhook, 'webhooks', 0, 'name'))
  })
})

describe('the pages', () => {
  test.each(PAGES)('%s names only files and commands that exist', async (page) => {
    const text = await readPage(page)
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path ?? '')
    const missing = links.filter((path) => !existsSync(join(CHECKOUT, dirname(page), path)))
    expect(missing).toEqual([])
    const { scripts } = JSON.parse(await readPage('package.json'))
    const commands = [...text.matchAll(/npm (?:run ([a-z0-9:]+)|test)/g)].map(
      ([, name]) => name ?? 'test',
    )
    expect(commands.filter((name) => !(name in scripts))).toEqual([])
    const nodeFiles = [...text.matchAll(/\bnode (\S+\.ts)/g)].map(([, path]) => path ?? '')
    expect(nodeFiles.filter((path) => !existsSync(join(CHECKOUT, path)))).toEqual([])
  })

  test('name only commands that the command line has', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['cli/main.ts', '--help'], {
      cwd: CHECKOUT,
    })
    const known = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name)
    const text = readme + (await readPage('CHANGELOG.md'))
    const named = [...text.matchAll(/(?:cli\/main\.ts|`oras-csi) ([a-z]+)/g)].map(
      ([, name]) => name,
    )
    expect([...new Set(named)].sort()).toEqual(known.sort())
  })

  test('CHANGELOG.md has a place for what comes next', async () => {
    expect(await readPage('CHANGELOG.md')).toContain('\n## Unreleased\n')
  })
})

function readPage(path: string): Promise<string> {
  return readFile(join(CHECKOUT, path), 'utf8')
}

/** What stands as code in the first column of the page's tables. */
function firstColumn(text: string): readonly string[] {
  return [...text.matchAll(/^\| `([^`]+)`\s*\|/gm)].map(([, cell]) => cell ?? '')
}

function denial(artifacts: string): string {
  const pod = {
    metadata: { annotations: { [ANNOTATIONS.artifacts]: artifacts } },
    spec: { containers: [{ name: 'java' }] },
  }
  return thrownBy(() => mutate(pod)).replace(/^INVALID /, '')
}

async function refusedPull(): Promise<string> {
  await using registry = await startRegistry({ auth: { kind: 'basic', users: { alice: 'good' } } })
  return await pullFailure(registry, 'http', 'v1')
}

async function untrustedPull(): Promise<string> {
  const authority = await createCertificateAuthority()
  const tls = await authority.issue({ names: ['127.0.0.1'] })
  await using registry = await startRegistry({ tls })
  return await pullFailure(registry, 'https', 'v1')
}

/** What a pull says that fails for good, the registry's address replaced by a name. */
async function pullFailure(registry: TestRegistry, scheme: string, tag: string): Promise<string> {
  await using directory = await temporaryDirectory()
  await mkdir(directory.file(registry.host))
  const server = `server = "${scheme}://${registry.host}"\n`
  await writeFile(directory.file(registry.host, 'hosts.toml'), server)
  const hosts = createHosts({ directory: directory.path })
  await using source = createRegistrySource({ hosts })
  const auth = Buffer.from('alice:wrong').toString('base64')
  const secret = JSON.stringify({ auths: { [registry.host]: { auth } } })
  const keyring = keyringOf({ '.dockerconfigjson': secret }, { label: 'secret of the volume' })
  const reference = parseReference(`${registry.host}/acme/app:${tag}`)
  const call = { keyring, signal: AbortSignal.timeout(20_000) }
  const message = await source.manifest(reference, call).then(
    () => 'nothing failed',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  return message.replaceAll(registry.host, 'ghcr.io')
}

/** The puller's message stands in its source; it takes two minutes to be seen at work. */
async function pendingPull(): Promise<string> {
  const source = await readPage('driver/pull/puller.ts')
  expect(source).toContain(`\`Still pulling "\${name}"\${detail}; the pull goes on\``)
  expect(source).toContain(`\`: \${formatProgress(progress)}\``)
  const progress = formatProgress({ done: 1.2 * 1024 ** 3, total: 15 * 1024 ** 3 })
  return `Still pulling "ghcr.io/acme/app:v1": ${progress}; the pull goes on`
}
