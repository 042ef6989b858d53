const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Writes text of strangers so that it reads as it is: control, bidi and invisible characters as `\u{202E}`. A terminal that shows a log
 * or a denial would obey them (CVE-2021-42574). What was written so once stays as it is.
 *
 * @param maxLength what is longer is cut, and ends with `…`; default: nothing is cut
 */
export function shownText(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  const cut = text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`
  return cut.replace(UNPRINTABLE, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`
  })
}

/**
 * Writes the same characters in a line of JSON as JSON's own escapes, e.g. `\u202e`: `JSON.stringify` leaves all but the first 32 of them as they
 * are. They stand in its strings only, and reading the line gives what it gave before. The end of the line stays.
 */
export function shownJson(line: string): string {
  return line.replace(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at))
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
  })
}
