import { nameOfHost } from './host-name.ts'
import type { Host } from './hosts.ts'
import type { Exchange } from './redirect.ts'

/**
 * Which hosts one download of a blob gets its bytes from: those that worked are asked first for the next part, and those that sent wrong
 * bytes no more. One for each download; the source keeps it.
 */
export interface BlobRoute {
  /**
   * The hosts still to ask, best first. One that has sent a part from this very byte comes late: it broke off at once.
   *
   * @param start of the part
   */
  order(hosts: readonly Host[], start: number): readonly Host[]
  /** What an earlier part of the blob came with, if this host sent it. */
  earlier(host: Host): Exchange | undefined
  /** Takes in who sent a part. */
  worked(host: Host, start: number, exchange: Exchange | undefined): void
  /**
   * Takes in that the whole was wrong: the mirrors that sent parts of it are not asked again, or the last host when nobody else sent any.
   *
   * @returns whom it no longer asks, as `nameOfHost` writes hosts, and whether there is another host to ask
   */
  distrust(): { readonly hosts: readonly string[]; readonly isAnyLeft: boolean }
}

/** Parts are megabytes. */
const MAX_BEGUN = 1000

export function createBlobRoute(): BlobRoute {
  let known: readonly string[] = []
  const senders = new Set<string>()
  const distrusted = new Set<string>()
  /** Who sent the parts that begin at a byte. */
  const begun = new Map<number, Set<string>>()
  let best: string | undefined
  let exchange: Exchange | undefined
  return {
    order(hosts, start) {
      known = hosts.map(nameOfHost)
      const rank = (host: Host) => {
        const name = nameOfHost(host)
        return (begun.get(start)?.has(name) ? 2 : 0) + (name === best ? 0 : 1)
      }
      const left = hosts.filter((host) => !distrusted.has(nameOfHost(host)))
      return left.toSorted((a, b) => rank(a) - rank(b))
    },
    earlier: (host) => (nameOfHost(host) === best ? exchange : undefined),
    worked(host, start, opened) {
      const name = nameOfHost(host)
      if (begun.size >= MAX_BEGUN) begun.clear()
      begun.set(start, (begun.get(start) ?? new Set()).add(name))
      senders.add(name)
      if (opened?.foreign || name !== best) exchange = opened?.foreign ? opened : undefined
      best = name
    },
    distrust() {
      if (senders.size === 0) return { hosts: [], isAnyLeft: false }
      const last = known.at(-1)
      const mirrors = [...senders].filter((name) => name !== last)
      const hosts = mirrors.length > 0 ? mirrors : [...senders]
      for (const name of hosts) distrusted.add(name)
      senders.clear()
      begun.clear()
      best = undefined
      exchange = undefined
      return { hosts, isAnyLeft: known.some((name) => !distrusted.has(name)) }
    },
  }
}
