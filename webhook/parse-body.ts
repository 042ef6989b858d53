import { isUtf8 } from 'node:buffer'
import { Refusal } from './refusal.ts'
import { ORDINARY_BODY_BYTES } from './request-body.ts'

/**
 * Objects, lists and members, as they are begun: `{`, `[`, `,`. An update of the largest objects that the API server stores, 1.5 MiB, half of it
 * managedFields, has 300 000.
 */
const MAX_PARTS = 400_000

const [BRACE, BRACKET, COMMA] = [0x7b, 0x5b, 0x2c]

/**
 * Parses the JSON of a body.
 *
 * The attack: 8 MiB of `{},{},` become a gigabyte of objects, and take seconds.
 *
 * @throws a {@link Refusal}: 413 when it has too many parts, 400 when it is not valid
 */
export function parseBody(bytes: Buffer): unknown {
  // An ordinary body cannot have so many.
  if (bytes.length > ORDINARY_BODY_BYTES) refuseParts(bytes)
  // Decoding would put something else in the place of what is wrong.
  if (!isUtf8(bytes)) throw new Refusal(400, 'The body is not valid UTF-8')
  try {
    return JSON.parse(bytes.toString())
  } catch {
    throw new Refusal(400, 'The body is not valid JSON')
  }
}

/** Those in texts count as well: no object that can be stored has so many of them either. */
function refuseParts(bytes: Buffer): void {
  let parts = 0
  for (const byte of bytes) {
    if (byte === BRACE || byte === BRACKET || byte === COMMA) parts += 1
  }
  if (parts <= MAX_PARTS) return
  throw new Refusal(413, `The body has ${parts} parts; expected at most ${MAX_PARTS}`)
}
