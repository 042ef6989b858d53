import type { Random } from './random.ts'

const MAX_BYTES = 64 * 1024
const MAX_CHANGES = 8

/** What readers of numbers and names are known to stumble over. */
const FRAGMENTS = [
  ...['0', '-1', '2147483648', '9007199254740993', '18446744073709551616', '1e999', 'NaN', ''],
  ...['..', '../', '/', '\\', '\0', '\n', '%2e%2e', '__proto__', 'null', '[', '{', '}', '"', '*'],
  ...[
    '\u202e',
    '\ufeff',
    '\ud800',
    'ſ',
    'K',
    '\xff\xfe',
    '\xc0\xaf',
    '\x80'.repeat(12),
    '\x1f\x8b',
  ],
].map((text) => Buffer.from(text, 'latin1'))

/** Changes an input in a few places: bits, bytes, pieces cut out, doubled, moved, replaced, or taken from another input. */
export function mutate(input: Uint8Array, other: Uint8Array, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(input)
  for (let changes = 1 + random.integer(MAX_CHANGES); changes > 0; changes--) {
    bytes = change(bytes, other, random).subarray(0, MAX_BYTES)
  }
  return bytes
}

function change(bytes: Buffer, other: Uint8Array, random: Random): Buffer {
  const at = random.integer(bytes.length + 1)
  const length = 1 + random.integer(random.pick([2, 16, 512]))
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (random.integer(9)) {
    case 0:
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(8))
      return bytes
    case 1:
      if (at < bytes.length) bytes[at] = random.integer(256)
      return bytes
    case 2:
      return Buffer.concat([before, after.subarray(length)])
    case 3:
      return Buffer.concat([before, after.subarray(0, length), after])
    case 4:
      return Buffer.concat([before, random.pick(FRAGMENTS), after])
    case 5: {
      const fragment = random.pick(FRAGMENTS)
      return Buffer.concat([before, fragment, after.subarray(fragment.length)])
    }
    case 6: {
      const from = random.integer(other.length + 1)
      return Buffer.concat([before, other.subarray(from, from + length), after.subarray(length)])
    }
    case 7:
      return Buffer.concat([before, Buffer.alloc(length, random.integer(256)), after])
    default:
      return Buffer.from(before)
  }
}
