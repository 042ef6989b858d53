// Control (Cc) and formatting characters (Cf: bidi overrides, zero-width), lone surrogates (Cs), U+2028 and U+2029: text
// that holds them reads otherwise than it is (CVE-2021-42574, "trojan source").
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
const UNPRINTABLE_IN_LINES = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/** A character that must not be in what a user writes. */
export interface Unprintable {
  /** e.g. `U+202E` */
  readonly name: string
  /** Offset in the text, in UTF-16 units. */
  readonly offset: number
}

/**
 * Finds the first control, bidi or invisible character of `text`.
 *
 * @param lines whether tab, line feed and carriage return are fine
 * @returns undefined when there is none
 */
export function findUnprintable(text: string, lines = false): Unprintable | undefined {
  const match = (lines ? UNPRINTABLE_IN_LINES : UNPRINTABLE).exec(text)
  if (match === null) return undefined
  const code = match[0].codePointAt(0) ?? 0
  return { name: `U+${code.toString(16).toUpperCase().padStart(4, '0')}`, offset: match.index }
}
