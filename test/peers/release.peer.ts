import { chmod, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { quoted } from '../docs/shell.ts'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { run } from '../support/command.ts'
import { startRegistry } from '../support/registry.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts'
import { buildGoProgram } from './go-program.ts'
import { helm } from './rendered.ts'

const why = await whyNoProgram('go')
const DIGEST = `sha256:${'a'.repeat(64)}`
const { jobs } = parse(await readFile(join(CHECKOUT, '.github/workflows/release.yaml'), 'utf8'))

// The steps of the workflow as they stand there, run by real programs; only where they push to is a registry of the test.
describe.skipIf(why !== undefined)(`a release${why === undefined ? '' : ` (${why})`}`, () => {
  beforeAll(async () => {
    for (const program of ['helm', 'kustomize', 'oras-go'] as const) await buildGoProgram(program)
  }, 1_800_000)

  test('publishes a chart that runs the image which was pushed with it, by digest', async () => {
    await using directory = await temporaryDirectory()
    await using registry = await startRegistry()
    const runner = await openRunner(directory, registry.host)
    await runner.step('Publish the Helm chart')
    const from = `oci://${registry.host}/acme/charts/oras-csi`
    await helm('pull', from, '--version', '9.8.7', '--plain-http', '--destination', directory.path)
    const images = async (...args: readonly string[]) => {
      const text = await helm('template', 'x', directory.file('oras-csi-9.8.7.tgz'), ...args)
      return (text.match(/image: .*/g) ?? []).map((line) => line.slice('image: '.length))
    }
    const repository = `${registry.host}/acme/oras-csi`
    const published = `${repository}:9.8.7@${DIGEST}`
    expect(await images('--set', 'certificate.source=self-signed')).toEqual(
      Array(4).fill(published),
    )
    // A copy of the image keeps its digest; another image has another tag.
    expect(await images('--set', 'image.repository=mirror.example.com/oras-csi')).toEqual(
      Array(2).fill(`mirror.example.com/oras-csi:9.8.7@${DIGEST}`),
    )
    expect(await images('--set', 'image.tag=own')).toEqual(Array(2).fill(`${repository}:own`))
    const other = `sha256:${'b'.repeat(64)}`
    expect(await images('--set', `image.digest=${other}`)).toEqual(
      Array(2).fill(`${repository}:9.8.7@${other}`),
    )
    expect(await helm('lint', directory.file('oras-csi-9.8.7.tgz'), '--strict')).toContain(
      '1 chart(s) linted, 0 chart(s) failed',
    )
    // An upgrade with --reuse-values would bring the old digest with the new tag.
    expect(await helm('show', 'values', directory.file('oras-csi-9.8.7.tgz'))).not.toContain(DIGEST)
  })

  test('publishes no chart that does not run it', async () => {
    await using directory = await temporaryDirectory()
    await using registry = await startRegistry()
    const runner = await openRunner(directory, registry.host)
    const templates = join(runner.checkout, 'chart/templates/_helpers.tpl')
    const text = await readFile(templates, 'utf8')
    await writeFile(templates, text.replace('@{{ . }}', ''))
    await expect(runner.step('Publish the Helm chart')).rejects.toThrow()
    expect(registry.requests).toEqual([])
  })

  test('publishes manifests that run the image which was pushed with them, by digest', async () => {
    await using directory = await temporaryDirectory()
    await using registry = await startRegistry()
    const runner = await openRunner(directory, registry.host)
    await runner.step('Publish the manifests')
    const pulled = directory.file('pulled')
    await mkdir(pulled)
    const oras = await buildGoProgram('oras-go')
    const reference = `${registry.host}/acme/oras-csi/manifests:9.8.7`
    await run(oras, ['pull', '--plain-http', reference], { cwd: pulled })
    const install = await readFile(join(pulled, 'install.yaml'), 'utf8')
    const published = Array(2).fill(`image: ${registry.host}/acme/oras-csi:9.8.7@${DIGEST}`)
    expect(install.match(/image: .*/g)).toEqual(published)
    await run('tar', ['--extract', '--gzip', '--file', 'manifests.tar.gz'], { cwd: pulled })
    const kustomize = await buildGoProgram('kustomize')
    expect(await run(kustomize, ['build', join(pulled, 'manifests')])).toBe(install)
  })
})

/** The runner of the job that publishes. */
interface Runner {
  readonly checkout: string
  /** Runs a step of the job as GitHub does. @throws when one of its commands fails */
  step(name: string): Promise<void>
}

async function openRunner(directory: TemporaryDirectory, registry: string): Promise<Runner> {
  const checkout = directory.file('checkout')
  const bin = directory.file('bin')
  await mkdir(checkout)
  await mkdir(bin)
  for (const changed of ['chart', 'manifests']) {
    await cp(join(CHECKOUT, changed), join(checkout, changed), { recursive: true })
  }
  await symlink(join(CHECKOUT, 'release'), join(checkout, 'release'))
  const [helm, kustomize, oras] = await Promise.all(
    (['helm', 'kustomize', 'oras-go'] as const).map(async (name) =>
      quoted(await buildGoProgram(name)),
    ),
  )
  const programs = {
    // The test's registry has no certificate.
    helm: `case $1 in push) exec ${helm} "$@" --plain-http ;; *) exec ${helm} "$@" ;; esac`,
    kustomize: `exec ${kustomize} "$@"`,
    kubectl: `shift; exec ${kustomize} build "$@"`,
    docker: `while [ "$1" != push ]; do shift; done; shift; exec ${oras} push --plain-http "$@"`,
  }
  for (const [name, body] of Object.entries(programs)) {
    await writeProgram(join(bin, name), body)
  }
  // Node is there. The real one installs dependencies where a package-lock.json has changed.
  await writeProgram(join(checkout, 'with-node.sh'), 'exec "$@"')
  const env = {
    REGISTRY: registry,
    OWNER: 'acme',
    GITHUB_REF_NAME: 'v9.8.7',
    IMAGE: `${registry}/acme/oras-csi:9.8.7@${DIGEST}`,
    HOME: directory.path,
    // biome-ignore lint/style/noProcessEnv: a runner's search path, with these commands before it
    PATH: `${bin}:${dirname(process.execPath)}:${process.env['PATH']}`,
  }
  return {
    checkout,
    async step(name) {
      const { run: script } = jobs.publish.steps.find(
        (step: { name?: string }) => step.name === name,
      )
      await run('bash', ['-e', '-c', script], { cwd: checkout, env })
    },
  }
}

async function writeProgram(path: string, body: string): Promise<void> {
  await writeFile(path, `#!/bin/bash\n${body}\n`)
  await chmod(path, 0o755)
}
