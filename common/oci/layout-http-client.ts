import { discardBody } from './body.ts'
import type { LayoutHttpHost } from './hosts.ts'
import { type Exchange, follow } from './redirect.ts'
import {
  formatStatus,
  meaningOfStatus,
  parseRetryAfter,
  RequestFailure,
} from './request-failure.ts'
import type { Sender } from './transport.ts'

/** One file of a layout on a web server. */
export interface FileRequest {
  readonly host: LayoutHttpHost
  /** Below the host's base, e.g. `acme/app/index.json`. */
  readonly path: string
  /** For the message of a 404, e.g. `repository "acme/app"`. */
  readonly what: string
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/**
 * Asks for a file, by the rules for redirects and addresses that hold for registries. No credential is sent but what the host's
 * configuration has as headers. The body of the answer, whose status is 200, 206 or 304, is not read yet.
 *
 * @throws RequestFailure for any other answer
 * @throws the signal's reason
 */
export async function getFile(sender: Sender, request: FileRequest): Promise<Exchange> {
  const { host, path, headers, signal } = request
  const url = new URL(`${host.base}/${path}`)
  const exchange = await follow(sender, host, { method: 'GET', url, headers, signal })
  if (ANSWERS.includes(exchange.answer.status)) return exchange
  discardBody(exchange.answer)
  throw fileFailure(exchange, request.what)
}

/**
 * Asks straight where an earlier answer came from, e.g. a signed URL.
 *
 * @returns undefined when that place no longer answers it
 * @throws RequestFailure a transient one
 * @throws the signal's reason
 */
export async function getFileAgain(
  sender: Sender,
  { target, foreign }: Exchange,
  { headers, signal }: Pick<FileRequest, 'headers' | 'signal'>,
): Promise<Exchange | undefined> {
  const { range: _, ...kept } = target.headers
  const again = { ...target, headers: { ...kept, ...headers } }
  const answer = await sender.send({ method: 'GET', ...again, signal })
  const exchange = { target: again, answer, foreign }
  if (ANSWERS.includes(answer.status)) return exchange
  discardBody(answer)
  const failure = fileFailure(exchange, 'file')
  if (failure.transient) throw failure
  return undefined
}

const ANSWERS = [200, 206, 304]
const OVERLOADS = [429, 503]

/** Nothing of the body: what a foreign server says is not for a pod's owner to read. */
function fileFailure({ target, answer, foreign }: Exchange, what: string): RequestFailure {
  const { status } = answer
  const { code, transient } = meaningOfStatus(status)
  const options = {
    ...{ transient, overload: OVERLOADS.includes(status) },
    retryAfterMs: parseRetryAfter(answer.header('retry-after'), Date.now()),
  }
  if (code === 'NOT_FOUND') return new RequestFailure(code, `layout has no ${what}`, options)
  const host = JSON.stringify(target.url.host)
  const led = foreign ? ', to which the layout redirected,' : ''
  // S3 without the right to list: it does not say what is there and what is not.
  const hint = status === 403 ? '; buckets say so of what is not there, too' : ''
  const message = `${host}${led} answered ${formatStatus(status)} for ${what}${hint}`
  return new RequestFailure(code, message, options)
}
