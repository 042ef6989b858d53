import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { innermost, isWithin, type Reach, reachOf } from './address.ts'
import { refuseAddress } from './connection-failure.ts'

/** Hears where a host was seen: the innermost of its addresses. */
export type NoteReach = (hostname: string, reach: Reach) => void

/** Looks a name up and keeps the addresses that may be contacted: the connection goes to one that was checked (DNS rebinding). */
export function guardedLookup(allowed: Reach, note: NoteReach): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, '', 0)
        return
      }
      const kept = addresses.filter(({ address }) => isWithin(reachOf(address), allowed))
      const [first] = kept
      if (first === undefined) {
        callback(refuseAddress(hostname, addresses[0]?.address ?? 'no address'), '', 0)
        return
      }
      note(hostname, innermostOf(kept))
      if (options.all) callback(null, kept)
      else callback(null, first.address, first.family)
    })
  }
}

function innermostOf(addresses: readonly LookupAddress[]): Reach {
  return addresses.reduce<Reach>(
    (reach, { address }) => innermost(reach, reachOf(address)),
    'public',
  )
}

/**
 * Checks a URL whose host is an address: that needs no lookup.
 *
 * @throws the error of {@link refuseAddress}
 */
export function checkLiteral(url: URL, allowed: Reach, note: NoteReach): void {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) === 0) return
  const reach = reachOf(host)
  if (!isWithin(reach, allowed)) throw refuseAddress(url.hostname, host)
  note(url.hostname, reach)
}
