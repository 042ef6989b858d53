/** How a check went: `warning` needs somebody's attention some day, `error` keeps pods from their artifacts. */
export type CheckSeverity = 'ok' | 'warning' | 'error'

/** One thing that was looked at. Texts come from the cluster in part: they are made printable where they are written. */
export interface CheckFinding {
  readonly severity: CheckSeverity
  /** What is, and what should be. */
  readonly message: string
  /** What to do: a command as a rule; absent when all is well. */
  readonly todo?: string
}

/** All is well. */
export function ok(message: string): CheckFinding {
  return { severity: 'ok', message }
}

/** Something that works and should be otherwise, or could not be looked at. */
export function warn(message: string, todo: string): CheckFinding {
  return { severity: 'warning', message, todo }
}

/** Something that does not work. */
export function fail(message: string, todo: string): CheckFinding {
  return { severity: 'error', message, todo }
}

/** More than a person reads; `--output json` has as many. */
const MAX_NAMES = 8

/** `a, b and 3 more` */
export function listed(names: readonly string[], most = MAX_NAMES): string {
  const more = names.length - most
  return more <= 0 ? names.join(', ') : `${names.slice(0, most).join(', ')} and ${more} more`
}

const PLAIN_WORD = /^[A-Za-z0-9@%+=:,./_-]+$/

/** Writes a word as a shell takes it. The attack: a name such as `$(reboot)` in a command that somebody copies. */
export function shellWord(word: string): string {
  return PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** Writes a command of words that may come from a cluster. */
export function command(...words: readonly string[]): string {
  return words.map(shellWord).join(' ')
}
