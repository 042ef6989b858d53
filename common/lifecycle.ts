import type { Logger } from './log.ts'

/** What `main.ts` hands over of the process it runs in. */
export interface ProcessEdge {
  once(event: 'SIGTERM' | 'SIGINT', listener: () => void): unknown
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown
  exit(code: number): never
}

/**
 * Runs a service until SIGTERM or SIGINT, then disposes of it, and ends the process.
 *
 * Exit codes: 0 after a signal, 1 when `start` or the disposal fails, or when something throws that nobody catches. `failed`
 * resolves, with the reason, when the service itself finds that it cannot go on.
 */
export async function runUntilSignal<T extends AsyncDisposable>(options: {
  readonly process: ProcessEdge
  readonly log: Logger
  /** @param signal fires when the process is told to stop before the service runs */
  readonly start: (signal: AbortSignal) => Promise<T>
  readonly failed?: (service: T) => Promise<unknown>
}): Promise<never> {
  const { process, log } = options
  const starting = new AbortController()
  const signalled = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        starting.abort(new Error('Stopped while starting'))
        resolve(signal)
      })
    }
  })
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      // A bug: the state is unknown. Exit, so that the restart starts from what is on disk.
      log.error({ error, event }, 'uncaught error, exiting')
      process.exit(1)
    })
  }
  let code = 0
  try {
    const service = await options.start(starting.signal)
    const failed = options.failed?.(service) ?? new Promise<never>(() => undefined)
    const reason = await Promise.race([signalled, failed.then((error) => ({ error }))])
    if (typeof reason === 'string') {
      log.info({ signal: reason }, 'stopping')
    } else {
      log.error({ error: reason.error }, 'cannot go on, stopping')
      code = 1
    }
    await service[Symbol.asyncDispose]()
    log.info('stopped')
  } catch (error) {
    if (starting.signal.aborted && error === starting.signal.reason) log.info('stopped')
    else {
      log.error({ error }, 'cannot run')
      code = 1
    }
  }
  return process.exit(code)
}
