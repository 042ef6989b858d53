import type { Descriptor } from './descriptor.ts'
import { type Digest, digestAlgorithm, isDigest } from './digest.ts'
import type { Exchange } from './redirect.ts'
import { RequestFailure } from './request-failure.ts'

/** A part of a blob that was asked for. */
export interface Part {
  readonly start: number
  /** Exclusive. */
  readonly end: number
}

/** Answers whether a part is the whole blob: a server without ranges can send it, too. */
export function isWhole({ start, end }: Part, { size }: Descriptor): boolean {
  return start === 0 && end === size
}

/**
 * Checks that an answer brings the part that was asked for, by its head.
 *
 * @param sender who that is in messages
 * @throws RequestFailure `INVALID` for another part; `CORRUPT` for another length, or when the registry names another digest
 */
export function checkBlobAnswer(
  exchange: Exchange,
  part: Part,
  descriptor: Descriptor,
  sender = 'registry',
): void {
  checkRange(exchange, part, descriptor, sender)
  checkLength(exchange, part, descriptor, sender)
  checkClaim(exchange, descriptor.digest)
}

/** The digest that the registry says its answer has; what another host says to which it led does not count. */
export function claimedDigest({ answer, foreign }: Exchange): Digest | undefined {
  const text = answer.header('docker-content-digest')
  if (text === undefined || foreign) return undefined
  if (isDigest(text)) return text
  throw new RequestFailure('CORRUPT', 'registry answered with a malformed Docker-Content-Digest')
}

function checkClaim(exchange: Exchange, digest: Digest): void {
  const claimed = claimedDigest(exchange)
  if (claimed === undefined || digestAlgorithm(claimed) !== digestAlgorithm(digest)) return
  if (claimed !== digest) {
    throw new RequestFailure('CORRUPT', `registry answered for blob ${digest} with ${claimed}`)
  }
}

/** The part that was asked for, and no other: appended to what is there, a wrong one would be found only at the end. */
function checkRange(
  { answer }: Exchange,
  part: Part,
  descriptor: Descriptor,
  sender: string,
): void {
  const { start, end } = part
  const { size, digest } = descriptor
  if (answer.status === 200 && isWhole(part, descriptor)) return
  const range = answer.header('content-range') ?? ''
  if (answer.status === 206 && range === `bytes ${start}-${end - 1}/${size}`) return
  if (answer.status === 206 && range === `bytes ${start}-${end - 1}/*`) return
  throw new RequestFailure(
    'INVALID',
    `${sender} cannot send blob ${digest} from byte ${start}: it answered ${answer.status === 200 ? 'with the whole' : 'with another range'}`,
  )
}

function checkLength(
  { answer }: Exchange,
  { start, end }: Part,
  { digest }: Descriptor,
  sender: string,
): void {
  const length = answer.header('content-length')
  if (length === undefined || Number(length) === end - start) return
  throw new RequestFailure(
    'CORRUPT',
    `${sender} sends ${length} bytes of blob ${digest}; expected ${end - start}`,
  )
}
