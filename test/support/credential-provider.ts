import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import type { TemporaryDirectory } from './temporary-directory.ts'

/** One run of the program, as it saw itself. */
export interface ProviderRunRecord {
  readonly request: { readonly kind: string; readonly apiVersion: string; readonly image: string }
  readonly commandLine: string
  readonly environment: string
}

/** An exec credential provider whose behaviour the test sets, and which notes how it was run. */
export interface TestCredentialProvider {
  readonly binDirectory: string
  readonly configFile: string
  /** The driver's flags for it. */
  readonly flags: readonly string[]
  /** Answers with a user for images, from now on; by default for as long as the test lasts, for the whole registry. */
  answer(
    auth: Readonly<Record<string, { readonly username: string; readonly password: string }>>,
    options?: { readonly cacheKeyType?: string; readonly cacheDuration?: string },
  ): Promise<void>
  /** Runs lines of a shell script instead, from now on. */
  behave(script: string): Promise<void>
  /** All runs so far, in no order. */
  runs(): Promise<readonly ProviderRunRecord[]>
}

const NAME = 'test-provider'
const API_VERSION = 'credentialprovider.kubelet.k8s.io/v1'

/** Makes a provider in a directory, for images that match. */
export async function makeCredentialProvider(
  directory: TemporaryDirectory,
  options: {
    readonly matchImages: readonly string[]
    readonly args?: readonly string[]
    readonly env?: Readonly<Record<string, string>>
  },
): Promise<TestCredentialProvider> {
  const binDirectory = directory.file('bin')
  const records = directory.file('records')
  const behaviour = directory.file('behaviour.sh')
  const configFile = directory.file('providers.json')
  for (const path of [binDirectory, records]) await mkdir(path)
  await writeFile(
    `${binDirectory}/${NAME}`,
    [
      '#!/bin/sh',
      'into="$RECORDS/$$"',
      'mkdir "$into.new"',
      'cat > "$into.new/request"',
      'cat "/proc/$$/cmdline" > "$into.new/commandLine"',
      'cat "/proc/$$/environ" > "$into.new/environment"',
      'mv "$into.new" "$into"',
      '. "$BEHAVIOUR"',
    ].join('\n'),
    { mode: 0o755 },
  )
  const env = { RECORDS: records, BEHAVIOUR: behaviour, ...options.env }
  // JSON is YAML.
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: [
      {
        name: NAME,
        apiVersion: API_VERSION,
        matchImages: options.matchImages,
        defaultCacheDuration: '1h',
        args: options.args ?? [],
        env: Object.entries(env).map(([name, value]) => ({ name, value })),
      },
    ],
  }
  await writeFile(configFile, JSON.stringify(config))
  // In one step: a run may begin meanwhile.
  const behave = async (script: string) => {
    await writeFile(`${behaviour}.new`, `${script}\n`)
    await rename(`${behaviour}.new`, behaviour)
  }
  let answers = 0
  const provider: TestCredentialProvider = {
    binDirectory,
    configFile,
    flags: [
      ...['--credential-provider-config', configFile],
      ...['--credential-provider-bin-dir', binDirectory],
    ],
    async answer(auth, { cacheKeyType = 'Registry', cacheDuration } = {}) {
      const file = directory.file(`answer-${answers++}.json`)
      const response = {
        kind: 'CredentialProviderResponse',
        apiVersion: API_VERSION,
        cacheKeyType,
        ...(cacheDuration !== undefined && { cacheDuration }),
        auth,
      }
      await writeFile(file, JSON.stringify(response))
      await behave(`cat '${file}'`)
    },
    behave,
    async runs() {
      const names = (await readdir(records)).filter((name) => !name.endsWith('.new'))
      return Promise.all(
        names.map(async (name) => ({
          request: JSON.parse(await readFile(`${records}/${name}/request`, 'utf8')),
          commandLine: await readFile(`${records}/${name}/commandLine`, 'utf8'),
          environment: await readFile(`${records}/${name}/environment`, 'utf8'),
        })),
      )
    },
  }
  await provider.answer({})
  return provider
}
