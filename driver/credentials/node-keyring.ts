import { join } from 'node:path'
import type { Logger } from '../../common/log.ts'
import type { NodeKeyring } from '../../common/oci/credential-candidates.ts'
import { createCredentialProvider } from './credential-provider.ts'
import { createDockerConfigKeyring } from './docker-config-file.ts'
import { type ProviderFiles, readProviders } from './read-providers.ts'
import { runProvider } from './run-provider.ts'

/** What the admin gives the driver to pull with. */
export interface NodeCredentialConfig {
  /** A docker `config.json`; need not exist yet. */
  readonly dockerConfig?: string
  readonly providers?: ProviderFiles
}

/** Programs at a time, of all providers: each is a process of some ten megabytes. */
const MAX_RUNS = 8
/** Of one, though it be the only one. */
const MAX_RUNS_EACH = 4

/** The node's credentials. Disposing ends the programs that run for them. */
export interface OpenNodeKeyring extends NodeKeyring, Disposable {
  /** The names of the credential providers, in the order of their file. */
  readonly providers: readonly string[]
}

/**
 * Opens the node's own credentials: those of its docker config first, since they cost nothing, then those of each credential provider
 * that is for the image, in the order of their file.
 *
 * @param options.env the environment of this process, which the programs get too: some find their cloud by it
 * @throws INVALID when the configuration of the providers is wrong or a program is missing
 */
export async function openNodeKeyring(
  { dockerConfig, providers }: NodeCredentialConfig,
  options: {
    readonly log: Pick<Logger, 'warn'>
    readonly env: Readonly<Record<string, string | undefined>>
  },
): Promise<OpenNodeKeyring> {
  const { log, env } = options
  const stopping = new AbortController()
  const file =
    dockerConfig &&
    createDockerConfigKeyring({ path: dockerConfig, warn: (message) => log.warn(message) })
  const configs = providers === undefined ? [] : await readProviders(providers)
  const programs = configs.map((config) =>
    createCredentialProvider({
      config,
      log,
      maxRuns: shareOf(configs.length),
      run: (request) =>
        runProvider(
          {
            path: join(providers?.binDirectory ?? '', config.name),
            args: config.args,
            env: { ...env, ...config.env },
          },
          request,
          { signal: stopping.signal },
        ),
    }),
  )
  return {
    providers: configs.map(({ name }) => name),
    async *lookup(registry, repository, signal) {
      if (file) yield* file.lookup(registry, repository, signal)
      for (const program of programs) yield* await program.lookup(registry, repository, signal)
    },
    [Symbol.dispose]: () => stopping.abort(),
  }
}

/** The attack, or the outage: programs that hang, for a minute each. They keep nobody waiting but those who ask for what they know. */
function shareOf(providers: number): number {
  return Math.max(1, Math.min(MAX_RUNS_EACH, Math.floor(MAX_RUNS / providers)))
}
