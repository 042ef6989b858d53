import { DEFAULT_DIAL_TIMEOUT_MS } from '../../../common/oci/dial-timeout.ts'
import type { Target } from '../../../common/oci/redirect.ts'
import { createGather } from './gather.ts'
import { openSocket, type SocketOptions } from './open-socket.ts'
import { writeRequestHead } from './request-head.ts'
import { type ResponseHead, readResponseHead } from './response-head.ts'

/** An answer whose body waits to be received, or was small enough to come with it. */
export interface Answer {
  readonly head: ResponseHead
  /** Of a refusal or redirect: at most 64 KiB; empty when it is longer, or its length unknown. */
  readonly body: Buffer
}

/** Takes the bytes of a body. One of `end` and `broke` is called at last, unless the receiver closes the connection. */
export interface Receiver {
  /** The memory is used again when this returns. */
  bytes(chunk: Buffer): void
  end(): void
  /** @param error of the socket; absent when the other side just closed it */
  broke(error: unknown): void
}

/** The answer is none that this client takes: the full HTTP client has to look at it. */
export class UnfitAnswer extends Error {}

/**
 * One connection to a server, for one GET after another. Bodies go from one reused buffer straight to their receiver: a third of the
 * CPU that undici takes, and all that a download needs.
 */
export interface Connection {
  /** Of the server, its trust and its reach: requests with the same key may share the connection. */
  readonly key: string
  /** Carried an exchange before: the server may be closing it just now. */
  readonly reused: boolean
  /** Ready for another exchange. */
  readonly idle: boolean
  /**
   * Sends a request, and stops at the head of its answer.
   *
   * @throws UnfitAnswer, or the error of the socket
   */
  ask(target: Pick<Target, 'url' | 'headers'>): Promise<Answer>
  /** Lets the body of a 200 or 206 come. */
  receive(receiver: Receiver): void
  close(): void
}

export interface ConnectionOptions extends SocketOptions {
  readonly key: string
  /** Filled with what is read, over and over. */
  readonly buffer: Buffer
  /** Without a byte for this long, the connection is dropped. */
  readonly idleTimeoutMs: number
  /** Called once, when the connection is gone and its buffer can be used again. */
  readonly onClose: () => void
}

/** Bodies of refusals that are read, so that the connection can be kept and the registry's error code shown. */
const MAX_SMALL_BODY_BYTES = 64 * 1024
/** What of its buffer a connection reads into that expects no body, or TLS: the rest of it gathers what comes of that. */
const SMALL_READ_BYTES = 64 * 1024

type State = 'idle' | 'head' | 'held' | 'body' | 'closed'

/** Begins to connect; what goes wrong is thrown by `ask`. @throws for an address that may not be contacted */
export function openConnection(options: ConnectionOptions): Connection {
  const { target, idleTimeoutMs, onClose } = options
  let state: State = 'idle'
  let reused = false
  let failure: unknown
  let pending: { resolve: (answer: Answer) => void; reject: (error: unknown) => void } | undefined
  let receiver: Receiver | undefined
  let head: ResponseHead | undefined
  /** Bytes of a head or small body, and of a body that nobody receives yet. */
  let collected: Buffer = Buffer.alloc(0)
  let remaining = 0
  const secure = target.url.protocol === 'https:'
  const small = options.buffer.subarray(0, SMALL_READ_BYTES)
  const gather = createGather(options.buffer.subarray(SMALL_READ_BYTES), (chunk) =>
    receiver?.bytes(chunk),
  )

  const socket = openSocket(options, {
    // Asked before each read.
    buffer: () => (state === 'body' && !secure ? options.buffer : small),
    callback: (length, buffer) => {
      take(Buffer.from(buffer.buffer, buffer.byteOffset, length))
      return state !== 'held'
    },
  })
  const connecting = setTimeout(
    () => socket.destroy(codedError('UND_ERR_CONNECT_TIMEOUT')),
    Math.min(idleTimeoutMs, target.dialTimeoutMs ?? DEFAULT_DIAL_TIMEOUT_MS),
  )
  let ready = false
  let send = () => {}
  // Of TLS, when the certificate has been checked: a token is for its registry only.
  socket.once(secure ? 'secureConnect' : 'connect', () => {
    clearTimeout(connecting)
    ready = true
    send()
  })
  socket.setNoDelay(true)
  socket.setTimeout(idleTimeoutMs, () => {
    // An idle connection is the pool's to close; a held body waits for us.
    if (state === 'head' || state === 'body') socket.destroy(codedError('UND_ERR_BODY_TIMEOUT'))
  })
  socket.on('error', (error) => {
    failure = error
  })
  socket.on('close', () => {
    clearTimeout(connecting)
    close()
    onClose()
  })

  function close(): void {
    if (state === 'closed') return
    state = 'closed'
    socket.destroy()
    pending?.reject(failure ?? codedError('ECONNRESET'))
    pending = undefined
    gather.flush()
    const left = receiver
    receiver = undefined
    left?.broke(failure)
  }

  function take(bytes: Buffer): void {
    switch (state) {
      case 'head':
        collected = Buffer.concat([collected, bytes])
        if (head === undefined) takeHead()
        else takeSmallBody(head)
        break
      case 'held':
        // TLS hands over what it has decrypted even to who has stopped reading.
        collected = Buffer.concat([collected, bytes])
        break
      case 'body':
        takeBody(bytes)
        break
      case 'idle':
        // Nobody asked for this.
        close()
        break
      case 'closed':
        break
    }
  }

  function takeHead(): void {
    const read = readResponseHead(collected)
    if (read.kind === 'unfit') giveUp(read.reason)
    if (read.kind !== 'head') return
    head = read.head
    collected = collected.subarray(head.bytes)
    if (head.status !== 200 && head.status !== 206) takeSmallBody(head)
    else if (head.contentLength === undefined) giveUp('no length')
    else {
      remaining = head.contentLength
      state = 'held'
      settle({ head, body: Buffer.alloc(0) })
    }
  }

  function takeSmallBody(of: ResponseHead): void {
    const length = of.status === 204 || of.status === 304 ? 0 : of.contentLength
    if (length === undefined || length > MAX_SMALL_BODY_BYTES) {
      settle({ head: of, body: Buffer.alloc(0) })
      close()
      return
    }
    if (collected.length < length) return
    const extra = collected.length > length
    settle({ head: of, body: collected.subarray(0, length) })
    if (extra || !of.keepAlive) close()
    else rest()
  }

  function takeBody(bytes: Buffer): void {
    const own = bytes.subarray(0, remaining)
    remaining -= own.length
    if (secure) gather.take(own)
    else receiver?.bytes(own)
    if (remaining > 0) return
    gather.flush()
    // The receiver may have closed the connection.
    if (receiver === undefined) return
    const ended = receiver
    receiver = undefined
    if (bytes.length > own.length || head?.keepAlive !== true) close()
    else rest()
    ended.end()
  }

  function rest(): void {
    state = 'idle'
    reused = true
    head = undefined
    collected = Buffer.alloc(0)
  }

  function settle(answer: Answer): void {
    const waiting = pending
    pending = undefined
    waiting?.resolve(answer)
  }

  function giveUp(reason: string): void {
    failure = new UnfitAnswer(reason)
    close()
  }

  return {
    key: options.key,
    get reused() {
      return reused
    },
    get idle() {
      return state === 'idle'
    },
    ask(to) {
      return new Promise((resolve, reject) => {
        if (state !== 'idle') {
          reject(failure ?? codedError('ECONNRESET'))
          return
        }
        // Thrown here, it rejects: nothing was sent.
        const request = writeRequestHead(to.url, to.headers)
        pending = { resolve, reject }
        state = 'head'
        send = () => socket.write(request, 'latin1')
        if (ready) send()
      })
    },
    receive(by) {
      if (state !== 'held') {
        by.broke(failure)
        return
      }
      receiver = by
      state = 'body'
      const first = collected
      collected = Buffer.alloc(0)
      if (first.length > 0 || remaining === 0) takeBody(first)
      if (state === 'body' || state === 'idle') socket.resume()
    },
    close() {
      receiver = undefined
      close()
    },
  }
}

function codedError(code: string): Error {
  return Object.assign(new Error(code), { code })
}
