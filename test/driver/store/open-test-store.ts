import { Writable } from 'node:stream'
import { createLogger } from '../../../common/log.ts'
import { removeTreeInSlices } from '../../../driver/linux/remove-tree.ts'
import { openStore, type Store } from '../../../driver/store/store.ts'

/** A store in `directory`, as the driver opens it. */
export function openTestStore(
  directory: string,
  options: {
    readonly bootId?: string
    readonly onWait?: () => void
    readonly signal?: AbortSignal
  } = {},
): Promise<Store> {
  return openStore({
    directory,
    bootId: options.bootId ?? 'boot-1',
    log: silentLog(),
    signal: options.signal ?? new AbortController().signal,
    isMounted: async () => false,
    removeTree: removeTreeInSlices,
    ...(options.onWait !== undefined && { onWait: options.onWait }),
  })
}

/** A logger that writes nowhere. */
export function silentLog() {
  const destination = new Writable({ write: (_chunk, _encoding, done) => done() })
  return createLogger({ name: 'test', level: 'silent', destination })
}
