/**
 * Finds the line on which something stands in a TOML document, for messages: a top-level key or table (`["ca"]`), or one of a
 * `[host."URL"]` section (`["host", URL, "ca"]`).
 *
 * @returns 1 for the first line, and for what is written in a way that is not looked for
 */
export function lineOf(text: string, path: readonly string[]): number {
  const lines = text.split('\n')
  const [first = '', section, key] = path
  if (section === undefined) return 1 + Math.max(0, lines.findIndex(startOf(first)))
  const header = [first, section].map(quotable).join('\\s*\\.\\s*')
  const opens = new RegExp(`^\\s*\\[\\s*${header}\\s*[\\].]`)
  const begin = lines.findIndex((line) => opens.test(line))
  if (key === undefined || begin < 0) return 1 + Math.max(0, begin)
  const table = new RegExp(`^\\s*\\[\\s*${header}\\s*\\.\\s*${quotable(key)}\\s*[\\].]`)
  const own = startOf(key)
  for (let at = begin; at < lines.length; at++) {
    const line = lines[at] ?? ''
    if (table.test(line) || (at > begin && own(line))) return 1 + at
    if (at > begin && /^\s*\[/.test(line) && !opens.test(line)) break
  }
  return 1 + begin
}

/** `key =`, `[key]` or `[key."..."]`. */
function startOf(key: string): (line: string) => boolean {
  const name = quotable(key)
  const start = new RegExp(`^\\s*(?:${name}\\s*[.=]|\\[+\\s*${name}\\s*[.\\]])`)
  return (line) => start.test(line)
}

function quotable(name: string): string {
  return `["']?${RegExp.escape(name)}["']?`
}
