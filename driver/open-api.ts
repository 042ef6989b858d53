import { isCodedError } from '../common/errors.ts'
import { type ApiClient, openApiClient } from '../common/kubernetes/api-client.ts'
import { findServiceAccount } from '../common/kubernetes/service-account.ts'
import type { Logger } from '../common/log.ts'
import type { ClusterConfig } from './cluster-flags.ts'

/**
 * Opens the API server for what a driver does with it besides its work; undefined where it is not wanted or not there, which the log says: a node's
 * pods come before what is told of them.
 */
export async function openApi(
  { events, startupTaint, accountDirectory }: ClusterConfig,
  options: {
    readonly env: Readonly<Record<string, string | undefined>>
    readonly stack: AsyncDisposableStack
    readonly log: Logger
  },
): Promise<ApiClient | undefined> {
  const { env, stack, log } = options
  if (!events && startupTaint === undefined) {
    log.info('events are off')
    return undefined
  }
  try {
    const account = await findServiceAccount({ env, directory: accountDirectory })
    return stack.use(openApiClient({ account }))
  } catch (error) {
    if (!isCodedError(error, 'NOT_FOUND')) throw error
    if (startupTaint !== undefined) {
      log.error({ error, key: startupTaint }, 'the startup taint stays: no API server')
    }
    if (events) log.info({ reason: error.message }, 'events are off: no API server')
    return undefined
  }
}
