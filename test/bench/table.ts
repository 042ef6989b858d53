import { boundOf, type Figure, formatNumber, judge, type Row, type Verdict } from './row.ts'

/** Writes the rows as Markdown: for each table a heading and, below it, a column for each figure. */
export function formatTables(rows: readonly Row[]): string {
  const titles = [...new Set(rows.map(({ table }) => table))]
  return titles
    .map((title) => {
      const own = rows.filter(({ table }) => table === title)
      return `### ${title}\n\n${isMatrix(own) ? formatMatrix(own) : formatList(own)}`
    })
    .join('\n\n')
}

/** Whether the rows tell of the same things, so that these can be columns. */
function isMatrix(rows: readonly Row[]): boolean {
  const [first, ...others] = rows.filter(({ failure }) => failure === undefined)
  if (first === undefined || others.length === 0) return false
  return others.every(({ figures }) => figures[0]?.name === first.figures[0]?.name)
}

function formatMatrix(rows: readonly Row[]): string {
  // The row that has the most says in which order they come.
  const longest = rows.toSorted((a, b) => b.figures.length - a.figures.length)
  const names = [...new Set(longest.flatMap(({ figures }) => figures.map(({ name }) => name)))]
  return formatTable([
    ['what', ...names],
    ...rows.map(({ what, figures, failure }) => [
      what,
      ...names.map((name, column) => {
        const figure = figures.find((candidate) => candidate.name === name)
        if (figure !== undefined) return formatFigure(figure)
        return column === 0 ? firstLine(failure) : ''
      }),
    ]),
  ])
}

function formatList(rows: readonly Row[]): string {
  return formatTable([
    ['what', 'figure', 'measured', 'must be'],
    ...rows.flatMap(({ what, figures, failure }) =>
      failure === undefined
        ? figures.map((figure, index) => [
            index === 0 ? what : '',
            figure.name,
            formatFigure(figure),
            boundOf(figure),
          ])
        : [[what, firstLine(failure), '', '']],
    ),
  ])
}

/** The rest, a process's output perhaps, stands among what was missed. */
function firstLine(failure = ''): string {
  return failure.split('\n', 1).join()
}

const MARKS = {
  unbounded: () => '',
  reached: () => '',
  ceiling: ({ ceiling }) =>
    ` (bound unreachable here; ${Math.round((ceiling?.share ?? 0) * 100)} % of the machine's speed)`,
  missed: (figure) => ` **MISSED ${boundOf(figure)}**`,
} satisfies Record<Verdict, (figure: Figure) => string>

/** e.g. `0.81 (0.79-0.9)`: the median, and the spread of the rounds. */
function formatFigure(figure: Figure): string {
  const { value, samples = [] } = figure
  const spread =
    samples.length > 1
      ? ` (${formatNumber(Math.min(...samples))}-${formatNumber(Math.max(...samples))})`
      : ''
  return `${formatNumber(value)}${spread}${MARKS[judge(figure)](figure)}`
}

function formatTable(lines: readonly (readonly string[])[]): string {
  // A bar would end the cell: one file's floor is `curl | tar`.
  const cells = lines.map((line) => line.map((cell) => cell.replaceAll('|', '\\|')))
  const [head = []] = cells
  const widths = head.map((_, column) =>
    Math.max(3, ...cells.map((line) => line[column]?.length ?? 0)),
  )
  const format = (line: readonly string[]) =>
    `| ${widths.map((width, column) => (line[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  return [format(head), rule, ...cells.slice(1).map(format)].join('\n')
}
