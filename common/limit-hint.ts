/**
 * Ends a message about a configured limit, saying which flag sets it.
 *
 * @example limitHint('max-entries') // ' (the limit --max-entries, which an admin can raise)'
 */
export function limitHint(flag: string): string {
  return ` (the limit --${flag}, which an admin can raise)`
}
