import type { CheckFinding, CheckSeverity } from './check-finding.ts'
import { printable } from './printable.ts'
import { counted } from './text-table.ts'

/** Findings about one thing, e.g. the nodes. */
export interface CheckGroup {
  readonly title: string
  readonly findings: readonly CheckFinding[]
}

/** How many findings there are of each severity. */
export type CheckCounts = Readonly<Record<CheckSeverity, number>>

/** Counts the findings of all groups. */
export function countFindings(groups: readonly CheckGroup[]): CheckCounts {
  const counts = { ok: 0, warning: 0, error: 0 }
  for (const { findings } of groups) for (const { severity } of findings) counts[severity] += 1
  return counts
}

/** Writes findings for people: a mark each, and below what is wrong what to do. */
export function formatCheck(groups: readonly CheckGroup[], colour: boolean): string {
  const parts = groups
    .filter(({ findings }) => findings.length > 0)
    .map(({ title, findings }) => {
      return [title, ...findings.flatMap((one) => findingLines(one, colour)), ''].join('\n')
    })
  const { warning, error } = countFindings(groups)
  const sums = [
    ...(error === 0 ? [] : [counted(error, 'error')]),
    ...(warning === 0 ? [] : [counted(warning, 'warning')]),
  ]
  return [...parts, `${sums.length === 0 ? 'All is well' : sums.join(', ')}\n`].join('\n')
}

const MARKS: Readonly<Record<CheckSeverity, { readonly word: string; readonly colour: number }>> = {
  ok: { word: 'ok     ', colour: 32 },
  warning: { word: 'warning', colour: 33 },
  error: { word: 'error  ', colour: 31 },
}

function findingLines({ severity, message, todo }: CheckFinding, colour: boolean) {
  const mark = MARKS[severity]
  const word = colour ? `\u001b[${mark.colour}m${mark.word}\u001b[0m` : mark.word
  return [
    `  ${word}  ${printable(message)}`,
    ...(todo === undefined ? [] : [`           -> ${printable(todo)}`]),
  ]
}
