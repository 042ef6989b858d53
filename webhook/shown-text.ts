const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Writes text of strangers so that it reads as it is: control, bidi and invisible characters as `\u{202E}`. A terminal that shows a log
 * or a denial would obey them (CVE-2021-42574).
 *
 * @param maxLength what is longer is cut, and ends with `…`
 */
export function shownText(text: string, maxLength: number): string {
  const cut = text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`
  return cut.replace(UNPRINTABLE, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`
  })
}
