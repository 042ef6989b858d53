/** Shares the memory for large bodies among those that are being read. */
export interface BodyBudget {
  /**
   * Takes a body in that comes from an address. It holds nothing yet.
   *
   * @param refuse gives up the body, which holds nothing more then; called at most once, by whoever needs the room
   */
  enter(address: string, refuse: () => void): BodyShare
}

/** The part of one body. */
export interface BodyShare {
  /** Holds so many bytes more. @returns false when this body was the one to be refused */
  take(bytes: number): boolean
  /** The body is whole: it cannot be refused any more, and holds its part until `release`. */
  complete(): void
  release(): void
}

interface Entry {
  readonly address: string
  readonly refuse: () => void
  held: number
}

/**
 * Makes a budget. The attack: six bodies that stop one byte short of 8 MiB hold all of it for as long as a request may take, and each large review is
 * refused.
 *
 * Where there is no room, the body that began first is refused, of the address that holds most: a review of the API server is here within
 * milliseconds, so what is older and not here yet waits for a client that stalls. That holds behind SNAT too, where the API server and the attacker
 * have one address.
 *
 * One address holds at most three quarters, so that bodies that came whole, and wait for their turn to be parsed, leave room for one of the largest of
 * anybody else. Not less: that is 36 MiB, or 180 reviews of 260 KiB at once, and an API server has some 200 changes of any kind under way at most (`--max-mutating-requests-inflight`).
 */
export function createBodyBudget(maxBytes: number): BodyBudget {
  /** Those that are not whole, the first to begin first. */
  const reading = new Set<Entry>()
  const heldBy = new Map<string, number>()
  let heldBytes = 0

  const add = (entry: Entry, bytes: number) => {
    entry.held += bytes
    heldBytes += bytes
    const ofAddress = (heldBy.get(entry.address) ?? 0) + bytes
    if (ofAddress === 0) heldBy.delete(entry.address)
    else heldBy.set(entry.address, ofAddress)
  }
  const leave = (entry: Entry) => {
    reading.delete(entry)
    add(entry, -entry.held)
  }
  /** @param address the only one that is asked; absent: all */
  const refuseOne = (address?: string) => {
    const holding = [...reading].filter(
      (one) => one.held > 0 && (address === undefined || one.address === address),
    )
    const shares = holding.map((one) => heldBy.get(one.address) ?? 0)
    const refused = holding[shares.indexOf(Math.max(...shares))]
    if (refused === undefined) return
    leave(refused)
    refused.refuse()
  }

  return {
    enter(address, refuse) {
      const entry: Entry = { address, refuse, held: 0 }
      reading.add(entry)
      return {
        take(bytes) {
          // It holds them already, so it is one of those that may have to go: each turn of the loops ends one.
          add(entry, bytes)
          while ((heldBy.get(address) ?? 0) > maxBytes * MAX_SHARE && reading.has(entry)) {
            refuseOne(address)
          }
          while (heldBytes > maxBytes && reading.has(entry)) refuseOne()
          return reading.has(entry)
        },
        complete: () => void reading.delete(entry),
        release: () => leave(entry),
      }
    },
  }
}

const MAX_SHARE = 0.75
