import { CodedError } from '../../common/errors.ts'
import { isDigest } from '../../common/oci/digest.ts'
import type { Evictor } from '../store/eviction/evictor.ts'
import type { Store } from '../store/store.ts'
import {
  ADMIN_PATHS,
  type PruneAnswer,
  parsePruneRequest,
  parseQuarantineRequest,
  type QuarantineAnswer,
  type QuarantineRequest,
} from './admin-message.ts'
import type { AdminHandler } from './admin-server.ts'

/** What an admin may ask of a store that a driver has open. */
export function storeAdmin(options: {
  readonly store: Pick<Store, 'trees' | 'views' | 'blobs'>
  readonly evictor: Pick<Evictor, 'prune'>
}): Readonly<Record<string, AdminHandler>> {
  const { store, evictor } = options
  const prune = async (body: Uint8Array): Promise<PruneAnswer> => {
    const pruned = await evictor.prune(parsePruneRequest(body))
    return { pruned: pruned.map(({ kind, key, bytes }) => ({ kind, key, bytes })) }
  }
  const quarantine = async (body: Uint8Array): Promise<QuarantineAnswer> => ({
    wasThere: await moveAway(store, parseQuarantineRequest(body)),
  })
  return { [ADMIN_PATHS.prune]: prune, [ADMIN_PATHS.quarantine]: quarantine }
}

async function moveAway(
  { trees, views, blobs }: Pick<Store, 'trees' | 'views' | 'blobs'>,
  { kind, key }: QuarantineRequest,
): Promise<boolean> {
  switch (kind) {
    case 'blob':
      if (!isDigest(key)) throw new CodedError('INVALID', `Expected a digest, found "${key}"`)
      return blobs.quarantine(key)
    case 'tree':
      return trees.quarantine(checkKey(key))
    case 'view':
      return views.quarantine(checkKey(key))
  }
}

/** It becomes a file name. */
function checkKey(key: string): string {
  if (/^[0-9a-f]{64}$/.test(key)) return key
  throw new CodedError('INVALID', `Expected a key of 64 hexadecimal digits, found "${key}"`)
}
