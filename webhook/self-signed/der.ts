/** Parts of ASN.1 in its one distinguished encoding, as X.509 wants it: each function gives tag, length and content. */

const TAGS = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const

/** Writes a value of any tag; a content of at most 2^31 bytes. */
export function tagged(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const digits = Buffer.alloc(4)
  digits.writeUInt32BE(length)
  const significant = digits.subarray(digits.findIndex((digit) => digit !== 0))
  return Buffer.concat([Buffer.from([tag, 0x80 | significant.length]), significant, content])
}

/** `[number]`, around whole values or instead of a primitive one's tag. */
export function context(
  number: number,
  content: Uint8Array,
  form: 'constructed' | 'primitive' = 'constructed',
): Buffer {
  return tagged((form === 'constructed' ? 0xa0 : 0x80) | number, content)
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(TAGS.sequence, Buffer.concat(parts))
}

export function set(...parts: readonly Uint8Array[]): Buffer {
  return tagged(TAGS.set, Buffer.concat(parts))
}

export function boolean(value: boolean): Buffer {
  return tagged(TAGS.boolean, Buffer.from([value ? 0xff : 0]))
}

/** A number that is not negative, from its bytes, the most significant first. */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0)
  const digits = first === -1 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first))
  // A leading one would be read as a sign.
  const sign = (digits[0] ?? 0) >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0)
  return tagged(TAGS.integer, Buffer.concat([sign, digits]))
}

/** @param unusedBits of the last byte, 0 to 7 */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return tagged(TAGS.bitString, Buffer.concat([Buffer.from([unusedBits]), bytes]))
}

export function octetString(content: Uint8Array): Buffer {
  return tagged(TAGS.octetString, content)
}

export function utf8String(text: string): Buffer {
  return tagged(TAGS.utf8String, Buffer.from(text))
}

/** An identifier as it is written, e.g. `2.5.29.17`. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const arcs = [first * 40 + second, ...rest]
  return tagged(TAGS.objectIdentifier, Buffer.from(arcs.flatMap(base128)))
}

/** A time to the second; until 2049 with two digits of the year. @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5 */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+|[-:T]/g, '')
  return date.getUTCFullYear() < 2050
    ? tagged(TAGS.utcTime, Buffer.from(digits.slice(2)))
    : tagged(TAGS.generalizedTime, Buffer.from(digits))
}

/** Seven bits a byte; all but the last have the eighth set. */
function base128(arc: number): number[] {
  const digits = [arc % 128]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
    digits.unshift((rest % 128) | 0x80)
  }
  return digits
}
