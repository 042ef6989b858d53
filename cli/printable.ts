import { findUnprintable } from '../common/composition/printable-text.ts'

// Control and formatting characters, lone surrogates, line separators.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Makes a text of one line that a terminal shows as it is. The attack: an object's name, a pod's event or an API server's answer with escape
 * sequences, which a terminal obeys, or with line ends, which look like findings of ours.
 */
export function printable(text: string): string {
  if (findUnprintable(text) === undefined) return text
  return text.replace(/\s*[\r\n]+\s*/g, ' ').replace(UNSAFE, escaped)
}

/** Replaces in JSON what JSON leaves as it is: C1 controls, bidi overrides, line separators. Line ends between values stay. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE, (character) =>
    character === '\n'
      ? character
      : [...Array(character.length).keys()]
          .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
          .join(''),
  )
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`
}
