/** The head of an HTTP answer whose body, if any, is as long as it says and is the content itself. */
export interface ResponseHead {
  readonly status: number
  /** The first value of each; names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  /** Of the body, as far as the head tells. */
  readonly contentLength: number | undefined
  /** Whether another request may follow on the connection. */
  readonly keepAlive: boolean
  /** How many bytes the head takes. */
  readonly bytes: number
}

/**
 * What was read of an answer so far: `partial` while more bytes are needed; `unfit` when it is none that this reader takes, and the
 * full HTTP client has to look at it.
 */
export type ReadHead =
  | { readonly kind: 'partial' }
  | { readonly kind: 'unfit'; readonly reason: string }
  | { readonly kind: 'head'; readonly head: ResponseHead }

/** Far more than any registry sends; undici's own cap is 16 KiB. */
export const MAX_HEAD_BYTES = 64 * 1024

const END = Buffer.from('\r\n\r\n')
const STATUS_LINE = /^HTTP\/1\.1 ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/
// RFC 9110 section 5: no space before the colon (request smuggling), no folding, no control characters.
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/
/** Two values for one of these would be two meanings. */
const SINGLE = ['content-length', 'content-range', 'transfer-encoding', 'content-encoding']

/**
 * Reads the head of an HTTP/1.1 answer from the first bytes of it, strictly: what is unusual in any way is `unfit`. Never throws.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112
 */
export function readResponseHead(bytes: Buffer): ReadHead {
  const end = bytes.subarray(0, MAX_HEAD_BYTES).indexOf(END)
  if (end < 0) {
    return bytes.length < MAX_HEAD_BYTES ? { kind: 'partial' } : unfit('head too large')
  }
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = Number(STATUS_LINE.exec(statusLine)?.[1])
  if (Number.isNaN(status)) return unfit('not an HTTP/1.1 status line')
  if (status < 200) return unfit('interim answer')

  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = FIELD.exec(line) ?? []
    if (name === undefined || value === undefined) return unfit('malformed header')
    const key = name.toLowerCase()
    if (!headers.has(key)) headers.set(key, value.trimEnd())
    else if (SINGLE.includes(key)) return unfit(`two headers ${key}`)
  }
  if (headers.has('transfer-encoding')) return unfit('transfer encoding')
  if ((headers.get('content-encoding') ?? 'identity') !== 'identity') {
    return unfit('content encoding')
  }
  const length = headers.get('content-length')
  // 15 digits are exact in a number.
  if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) return unfit('malformed length')
  return {
    kind: 'head',
    head: {
      status,
      headers,
      contentLength: length === undefined ? undefined : Number(length),
      keepAlive: (headers.get('connection') ?? 'keep-alive').toLowerCase() === 'keep-alive',
      bytes: end + END.length,
    },
  }
}

function unfit(reason: string): ReadHead {
  return { kind: 'unfit', reason }
}
