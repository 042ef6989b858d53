/** A replacement in a text. */
export interface TextEdit {
  readonly offset: number
  /** How many characters go. */
  readonly remove: number
  readonly insert: string
}

/** Applies edits; those at the same place, one after the other in the order given. They must not overlap. */
export function applyEdits(text: string, edits: readonly TextEdit[]): string {
  let result = ''
  let at = 0
  for (const { offset, remove, insert } of edits.toSorted((a, b) => a.offset - b.offset)) {
    result += text.slice(at, offset) + insert
    at = offset + remove
  }
  return result + text.slice(at)
}
