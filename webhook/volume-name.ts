import { createHash } from 'node:crypto'
import { invalidAt, type Place } from '../common/composition/finding.ts'
import { MAX_VOLUME_NAME_LENGTH, VOLUME_NAME_PREFIX } from '../common/composition/object-name.ts'

/** What a volume's name is made of. */
export interface NameRequest {
  /** For messages. */
  readonly place: Place
  /** The `name` of an entry. */
  readonly wanted?: string
  /** Of the first entry. */
  readonly mountPath: string
  /** Tells volumes at one mount path (of different containers) apart. */
  readonly identity: string
}

const HASH_LENGTH = 8

/**
 * Names volumes: `oras-` and the wanted name, or a slug of the mount path (`/opt/app` gives `oras-opt-app`), at most 63
 * characters, with a short hash where it would not be unique. The same requests give the same names.
 *
 * @throws INVALID when two requests want one name
 */
export function nameVolumes(requests: readonly NameRequest[]): readonly string[] {
  const owners = new Map<string, NameRequest>()
  for (const request of requests) {
    if (request.wanted === undefined) continue
    const name = VOLUME_NAME_PREFIX + request.wanted
    const owner = owners.get(name)
    if (owner !== undefined) {
      throw invalidAt(
        request.place,
        `name "${request.wanted}" is that of ${owner.place.path} already, which is another volume; expected another name`,
      )
    }
    owners.set(name, request)
  }
  return requests.map((request) => {
    if (request.wanted !== undefined) return VOLUME_NAME_PREFIX + request.wanted
    const plain = cut(VOLUME_NAME_PREFIX + slug(request.mountPath), MAX_VOLUME_NAME_LENGTH)
    const free = plain.length > VOLUME_NAME_PREFIX.length && !owners.has(plain)
    const name = free ? plain : withHash(plain, request)
    owners.set(name, request)
    return name
  })
}

function slug(mountPath: string): string {
  return mountPath
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
}

function withHash(plain: string, { mountPath, identity }: NameRequest): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([mountPath, identity]))
    .digest('hex')
  const head = cut(plain, MAX_VOLUME_NAME_LENGTH - HASH_LENGTH - 1)
  return `${head}-${hash.slice(0, HASH_LENGTH)}`
}

/** A volume's name must not end in a dash. */
function cut(name: string, length: number): string {
  return name.slice(0, length).replace(/-+$/, '')
}
