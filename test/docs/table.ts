/**
 * Writes a table as the formatter wants it, columns aligned.
 *
 * @param rows the head first; a bar in a cell has to be escaped
 */
export function table(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows
  const widths = head.map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = line(widths.map((width) => '-'.repeat(width)))
  return `${[line(head), rule, ...rows.slice(1).map(line)].join('\n')}\n`
}
