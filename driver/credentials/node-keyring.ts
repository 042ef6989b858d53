import { join } from 'node:path'
import pLimit from 'p-limit'
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

/** Programs of all providers at a time. */
const MAX_RUNS = 8

/** The node's credentials. Disposing ends the programs that run for them. */
export interface OpenNodeKeyring extends NodeKeyring, Disposable {}

/**
 * Opens the node's own credentials: those of its docker config first, since they cost nothing, then those of each credential provider
 * that is for the image, in the order of their file.
 *
 * @param options.env the driver's environment, which the programs get too: some find their cloud by it
 * @throws INVALID when the configuration of the providers is wrong or a program is missing
 */
export async function openNodeKeyring(
  { dockerConfig, providers }: NodeCredentialConfig,
  options: {
    readonly log: Logger
    readonly env: Readonly<Record<string, string | undefined>>
  },
): Promise<OpenNodeKeyring> {
  const { log, env } = options
  const stopping = new AbortController()
  const turns = pLimit(MAX_RUNS)
  const file =
    dockerConfig &&
    createDockerConfigKeyring({ path: dockerConfig, warn: (message) => log.warn(message) })
  const programs = (providers === undefined ? [] : await readProviders(providers)).map((config) =>
    createCredentialProvider({
      config,
      log,
      run: (request) =>
        turns(() =>
          runProvider(
            {
              path: join(providers?.binDirectory ?? '', config.name),
              args: config.args,
              env: { ...env, ...config.env },
            },
            request,
            { signal: stopping.signal },
          ),
        ),
    }),
  )
  return {
    async *lookup(registry, repository, signal) {
      if (file) yield* file.lookup(registry, repository, signal)
      for (const program of programs) yield* await program.lookup(registry, repository, signal)
    },
    [Symbol.dispose]: () => stopping.abort(),
  }
}
