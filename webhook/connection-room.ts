import type { Socket } from 'node:net'

/** What a connection waits for: the end of its TLS handshake, a request, or the answer to one. */
type State = 'handshake' | 'request' | 'answer'

/** Keeps room for the next connection. */
export interface ConnectionRoom {
  /** Takes a connection in, before its handshake; others are closed where there is no room for it. */
  enter(socket: Socket): void
  /** Notes what it waits for from now on. The socket may be the one of TLS over the one that entered. */
  waitsFor(state: State, socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): void
}

/**
 * Makes the room of a server. The attack: a pod opens thousands of connections, says nothing, and the API server's are refused.
 *
 * When it is full, the largest crowd gives up its oldest connection; a crowd are those of one address that wait for the same. A client that opens
 * connections and goes no further makes the largest one, whatever it stops at; the API server's are few of each kind: some that wait for a request,
 * the handshake or review of a few milliseconds. There is no cap for an address on purpose: behind SNAT (kube-proxy, a load balancer, Konnectivity)
 * the API server and the attacker may have the same one, and a cap would let the attacker lock it out with fewer connections than there are. There,
 * too, this closes the attacker's: they are older than a handshake or a review that makes progress. An idle connection of the API server may be
 * among what is closed, as when a server restarts: Go opens another.
 *
 * @param options.onDropped a connection was closed that did not just wait for its next request
 */
export function createConnectionRoom(options: {
  readonly maxConnections: number
  readonly onDropped: () => void
}): ConnectionRoom {
  const { maxConnections, onDropped } = options
  const places = new Map<string, { readonly socket: Socket; crowd: string; state: State }>()
  /** Names of peers, the oldest first. */
  const crowds = new Map<string, Set<string>>()

  const leaveCrowd = (peer: string, name: string) => {
    const crowd = crowds.get(name)
    crowd?.delete(peer)
    if (crowd?.size === 0) crowds.delete(name)
  }
  const joinCrowd = (peer: string, name: string) => {
    crowds.set(name, (crowds.get(name) ?? new Set()).add(peer))
  }
  const leave = (peer: string) => {
    const place = places.get(peer)
    if (place === undefined) return
    places.delete(peer)
    leaveCrowd(peer, place.crowd)
  }
  const closeOne = () => {
    const largest = [...crowds.values()].reduce((a, b) => (b.size > a.size ? b : a))
    for (const peer of largest) {
      const place = places.get(peer)
      leave(peer)
      place?.socket.destroy()
      if (place?.state !== 'request') onDropped()
      return
    }
  }

  return {
    enter(socket) {
      const peer = peerOf(socket)
      // It is gone again.
      if (peer === undefined) {
        socket.destroy()
        return
      }
      while (places.size >= maxConnections) closeOne()
      const state = 'handshake'
      const crowd = `${state} ${socket.remoteAddress}`
      places.set(peer, { socket, crowd, state })
      joinCrowd(peer, crowd)
      socket.once('close', () => {
        if (places.get(peer)?.socket === socket) leave(peer)
      })
    },
    waitsFor(state, socket) {
      const peer = peerOf(socket)
      const place = peer === undefined ? undefined : places.get(peer)
      if (peer === undefined || place === undefined) return
      leaveCrowd(peer, place.crowd)
      place.state = state
      place.crowd = `${state} ${socket.remoteAddress}`
      joinCrowd(peer, place.crowd)
    },
  }
}

function peerOf(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): string | undefined {
  const { remoteAddress, remotePort } = socket
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  return `${remoteAddress} ${remotePort}`
}
