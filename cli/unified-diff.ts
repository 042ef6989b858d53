import { createTwoFilesPatch } from 'diff'

const RED = '\u001b[31m'
const GREEN = '\u001b[32m'
const CYAN = '\u001b[36m'
const RESET = '\u001b[0m'

/**
 * Writes the difference of two texts as a unified diff; empty when there is none.
 *
 * @param options.name the file, for the two header lines, in which patch(1) finds it before a tab
 */
export function unifiedDiff(
  before: string,
  after: string,
  options: { readonly name: string; readonly colour: boolean },
): string {
  if (before === after) return ''
  const { name, colour } = options
  const patch = createTwoFilesPatch(name, name, before, after, 'written', 'composed')
  // Before the headers there is a ruler that neither diff nor git prints.
  const lines = patch.slice(patch.indexOf('--- ')).split('\n')
  return colour ? lines.map(coloured).join('\n') : lines.join('\n')
}

function coloured(line: string): string {
  const colour = line.startsWith('@@')
    ? CYAN
    : line.startsWith('+')
      ? GREEN
      : line.startsWith('-')
        ? RED
        : undefined
  return colour === undefined ? line : `${colour}${line}${RESET}`
}
