/** The API server may cut warnings above 256 characters, and kubectl prints each on a line of its own. */
export const MAX_WARNING_LENGTH = 120

/** Cuts a warning to the 120 characters that are sure to be shown. */
export function warning(text: string): string {
  return text.length <= MAX_WARNING_LENGTH ? text : `${text.slice(0, MAX_WARNING_LENGTH - 1)}…`
}
