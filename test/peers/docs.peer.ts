import { cp, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BLOCKS, block } from '../docs/blocks.ts'
import { openShell, orasScript, quoted } from '../docs/shell.ts'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { artifact, load } from '../support/artifact.ts'
import { run } from '../support/command.ts'
import { startRegistry } from '../support/registry.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { buildGoProgram } from './go-program.ts'
import { templated } from './rendered.ts'

const why = await whyNoProgram('go')

/** A machine with `oras`, `oras-csi`, some files, and a registry that goes by the name of ghcr.io. */
async function openReader(files: readonly string[]) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const registry = stack.use(await startRegistry())
  const oras = await buildGoProgram('oras-go')
  const shell = await openShell(directory, { programs: { oras: orasScript(oras) } })
  const hosts = directory.file('certs.d')
  const own = join(hosts, registry.host.replace(':', '_').concat('_'))
  await mkdir(own, { recursive: true })
  await writeFile(join(own, 'hosts.toml'), `server = "${registry.url}"\n`)
  for (const file of files) {
    const path = join(shell.cwd, file)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, `content of ${file}`)
  }
  const made = stack.move()
  return {
    registry,
    type: (script: string) => shell.type(script.replaceAll('ghcr.io', registry.host)),
    /** The command as it is in a driver's pod, where the node's hosts.toml says what may be. */
    onNode: (script: string) =>
      script.replace(/^(oras-csi registry check .*)$/m, `$1 --hosts-directory ${quoted(hosts)}`),
    /** What is there once the artifact is pulled. */
    async pulled(name: string): Promise<readonly string[]> {
      const { stdout } = await shell.type(
        `oras-csi pull ${registry.host}/${name} out >/dev/null && cd out && find . -type f | sort`,
      )
      return stdout.split('\n').filter((line) => line !== '')
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** The blocks of a suite that reads them as they are; here the real programs take them. */
function blocksOf(suite: string): readonly (readonly [name: string, text: string])[] {
  return BLOCKS.flatMap(({ mark, text }) =>
    mark.kind === 'run' && mark.name.startsWith(`${suite}/`) ? [[mark.name, text] as const] : [],
  )
}

describe.skipIf(why !== undefined)(
  'what pages show of an installation',
  {
    timeout: 900_000,
  },
  () => {
    test.each(blocksOf('values'))('%s are values that Helm takes', async (_name, text) => {
      await using directory = await temporaryDirectory()
      await writeFile(directory.file('values.yaml'), text)
      const objects = await templated('--values', directory.file('values.yaml'))
      expect(objects.map(({ kind }) => kind)).toContain('DaemonSet')
    })

    test.each(blocksOf('kustomization'))('%s is one that kustomize builds', async (_name, text) => {
      const kustomize = await buildGoProgram('kustomize')
      await using directory = await temporaryDirectory()
      await cp(join(CHECKOUT, 'manifests'), directory.file('oras-csi/manifests'), {
        recursive: true,
      })
      await writeFile(directory.file('kustomization.yaml'), text)
      const built = await run(kustomize, ['build', directory.path])
      const image = text.includes('newName') ? 'registry.example.com/oras-csi:0.1.0' : '0.1.0'
      expect(built).toMatch(new RegExp(`^ +image: .*${image}$`, 'm'))
      expect(built).toContain('kind: DaemonSet')
    })
  },
)

describe.skipIf(why !== undefined)(
  'what the pages tell to push lands where they say',
  { timeout: 120_000 },
  () => {
    const PUSHES: readonly (readonly [
      string,
      string,
      readonly string[],
      string,
      readonly string[],
    ])[] = [
      ['java.md', block('oras/java'), ['hello.jar'], 'acme/hello-jar:v1', ['./hello.jar']],
      ['job.md', block('oras/job'), ['simulation.sif'], 'acme/simulation:v1', ['./simulation.sif']],
      [
        ...(['job.md, a directory', block('oras/job-directory')] as const),
        ['grch38/a.fa', 'grch38/b.fa'],
        'acme/genome:grch38',
        ['./grch38/a.fa', './grch38/b.fa'],
      ],
      [
        ...(['models.md', block('oras/model')] as const),
        ['model.gguf', 'tokenizer.json'],
        'acme/llama:8b',
        ['./model.gguf', './tokenizer.json'],
      ],
      [
        ...(['configuration.md', block('oras/configuration')] as const),
        ['ca.pem', 'nginx.conf', 'conf.d/site.conf'],
        'acme/nginx-conf:v4',
        ['./conf.d/site.conf', './nginx.conf'],
      ],
      [
        ...(['opentelemetry.md', block('oras/opentelemetry')] as const),
        ['opentelemetry-javaagent.jar'],
        'acme/otel-agent:2.9',
        ['./opentelemetry-javaagent.jar'],
      ],
    ]
    test.each(PUSHES)('%s', async (_page, script, files, name, expected) => {
      await using reader = await openReader(files)
      await reader.type(script)
      expect(await reader.pulled(name)).toEqual(expected)
    })

    test('first-artifact.md: inspect shows the path', async () => {
      await using reader = await openReader([])
      const layer = { title: 'site/index.html', mediaType: 'text/html', content: 'hello' }
      load(reader.registry, 'acme/site:v1', artifact({ layers: [layer] }))
      const { stdout } = await reader.type(block('oras/first-inspect'))
      expect(stdout).toContain('site/index.html')
    })

    test('models.md: inspect shows what is selected', async () => {
      await using reader = await openReader([])
      const layers = ['model.gguf', 'tokenizer.json'].map((title) => ({ title, content: title }))
      load(reader.registry, 'acme/llama:8b', artifact({ layers }))
      const { stdout } = await reader.type(block('oras/model-inspect'))
      expect(stdout).toContain('model.gguf')
    })

    test('bucket.md: a layout is written, and read', async () => {
      await using reader = await openReader([])
      const layers = [{ title: 'app.jar', content: 'app' }]
      load(reader.registry, 'acme/app:v1', artifact({ layers }))
      const { stdout } = await reader.type(block('oras/bucket-copy'))
      expect(stdout).toContain('app.jar')
    })

    test('mirrors.md: an archive goes over the gap as files', async () => {
      await using reader = await openReader([])
      load(
        reader.registry,
        'acme/app:v1',
        artifact({ layers: [{ title: 'app.jar', content: 'app' }] }),
      )
      const { stdout } = await reader.type(block('oras/air-gap'))
      expect(stdout).toContain('gap/acme/app/index.json')
    })

    test('troubleshooting.md: registry check says that it works', async () => {
      await using reader = await openReader([])
      load(
        reader.registry,
        'acme/app:v1',
        artifact({ layers: [{ title: 'app.jar', content: 'app' }] }),
      )
      const { stdout } = await reader.type(reader.onNode(block('oras/registry-check')))
      expect(stdout).toContain('The driver can pull this.')
    })

    test('troubleshooting.md: pull lays out what a pod would see', async () => {
      await using reader = await openReader([])
      load(
        reader.registry,
        'acme/app:v1',
        artifact({ layers: [{ title: 'app.jar', content: 'app' }] }),
      )
      const { stdout } = await reader.type(block('oras/pull-here'))
      expect(stdout).toContain('./out/app.jar')
    })
  },
)
