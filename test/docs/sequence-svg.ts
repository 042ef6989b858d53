/** What a diagram of messages between participants shows, top to bottom. */
interface Sequence {
  readonly participants: readonly { readonly id: string; readonly title: string }[]
  readonly steps: readonly Step[]
}

type Step =
  | {
      readonly kind: 'message'
      readonly from: number
      readonly to: number
      readonly text: string
      readonly answer: boolean
    }
  | { readonly kind: 'note'; readonly from: number; readonly to: number; readonly text: string }

const MARGIN = 80
const HEAD = 70
const ROW = 44
/** Of a letter, on average: DejaVu Sans, which is wide, has 6.1. */
const CHARACTER = 6.5
const BOX = { width: 130, height: 34 }
/** From one column to the next, at the least: two boxes do not touch. */
const COLUMN = BOX.width + 20
/** Of a message to oneself, before its text. */
const LOOP = 32

/**
 * Reads the part of Mermaid's sequence diagrams that our diagrams use: `participant ID as TITLE`, `A->>B: text`, the answer `A-->>B: text` and
 * `Note over A,B: text`.
 *
 * @throws naming the line that is none of these
 */
function parseSequence(text: string): Sequence {
  const participants: { id: string; title: string }[] = []
  const steps: Step[] = []
  const indexOf = (id: string | undefined, line: string) => {
    const index = participants.findIndex((participant) => participant.id === id)
    if (index < 0) throw new Error(`No participant "${id}": ${line}`)
    return index
  }
  for (const line of text.split('\n').map((part) => part.trim())) {
    if (line === '' || line === 'sequenceDiagram' || line.startsWith('%%')) continue
    const participant = /^participant (\w+) as (.+)$/.exec(line)
    const message = /^(\w+)(--?)>>(\w+): (.+)$/.exec(line)
    const note = /^Note over (\w+),(\w+): (.+)$/.exec(line)
    if (participant !== null) {
      participants.push({ id: participant[1] ?? '', title: participant[2] ?? '' })
    } else if (message !== null) {
      const [from, to] = [indexOf(message[1], line), indexOf(message[3], line)]
      steps.push({ kind: 'message', from, to, text: message[4] ?? '', answer: message[2] === '--' })
    } else if (note !== null) {
      const [from, to] = [indexOf(note[1], line), indexOf(note[2], line)]
      steps.push({ kind: 'note', from, to, text: note[3] ?? '' })
    } else throw new Error(`Not understood: ${line}`)
  }
  return { participants, steps }
}

/** Draws the diagram, readable on light and on dark. */
export function sequenceSvg(text: string, title: string): string {
  const { participants, steps } = parseSequence(text)
  const columns = columnsOf(participants.length, steps)
  const width = (columns.at(-1) ?? 0) + MARGIN
  const height = HEAD + ROW * steps.length + 20
  const lines = participants.flatMap((participant, index) => {
    const at = columns[index] ?? 0
    return [
      `<line class="life" x1="${at}" y1="${BOX.height + 10}" x2="${at}" y2="${height - 10}"/>`,
      `<rect class="box" x="${at - BOX.width / 2}" y="10" width="${BOX.width}" height="${BOX.height}" rx="5"/>`,
      `<text class="name" x="${at}" y="32">${escaped(participant.title)}</text>`,
    ]
  })
  const drawn = steps.flatMap((step, index) => draw(step, columns, HEAD + ROW * (index + 0.6)))
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">`,
    `<title>${escaped(title)}</title>`,
    STYLE,
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
    `<rect class="paper" width="${width}" height="${height}"/>`,
    ...lines,
    ...drawn,
    '</svg>',
  ].join('\n')}\n`
}

/** Where the participants stand: as far from each other as the texts between two neighbours need. */
function columnsOf(count: number, steps: readonly Step[]): readonly number[] {
  const gaps = Array.from({ length: count - 1 }, () => COLUMN)
  for (const { kind, from, to, text } of steps) {
    const [left, right] = [Math.min(from, to), Math.max(from, to)]
    const own = kind === 'message' && left === right ? LOOP : 0
    if (right - left > 1) continue
    const needed = Math.ceil(text.length * CHARACTER) + own + 16
    if (left < gaps.length) gaps[left] = Math.max(gaps[left] ?? 0, needed)
    else throw new Error(`The last participant has no room for a message to itself: ${text}`)
  }
  const columns = [MARGIN]
  for (const gap of gaps) columns.push((columns.at(-1) ?? 0) + gap)
  return columns
}

function draw(step: Step, columns: readonly number[], y: number): readonly string[] {
  const [from = 0, to = 0] = [columns[step.from], columns[step.to]]
  const [left, right] = [Math.min(from, to), Math.max(from, to)]
  if (step.kind === 'note') {
    return [
      `<rect class="note" x="${left - 60}" y="${y - 17}" width="${right - left + 120}" height="26" rx="3"/>`,
      `<text class="note-text" x="${(left + right) / 2}" y="${y}">${escaped(step.text)}</text>`,
    ]
  }
  const kind = step.answer ? 'message answer' : 'message'
  if (step.from === step.to) {
    return [
      `<path class="${kind}" d="M${left} ${y - 12}h24v16h-22" marker-end="url(#tip)"/>`,
      ...label(left + LOOP, y, step.text, 'own'),
    ]
  }
  return [
    `<line class="${kind}" x1="${from}" y1="${y}" x2="${to}" y2="${y}" marker-end="url(#tip)"/>`,
    ...label((left + right) / 2, y - 7, step.text, 'between'),
  ]
}

/** Text with an edge of the paper's colour, so that a line behind it does not cut it. */
function label(at: number, y: number, text: string, kind: 'own' | 'between'): readonly string[] {
  return [`<text class="label ${kind}" x="${at}" y="${y}">${escaped(text)}</text>`]
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

// No variables of CSS: librsvg, which Debian and Wikimedia draw with, knows none, and would paint everything black.
const STYLE = `<style>
svg { font: 13px system-ui, sans-serif }
text { text-anchor: middle }
.life { stroke-width: 1.5 }
.message { stroke-width: 1.3; fill: none }
.answer { stroke-dasharray: 5 4 }
.name { font-weight: 600 }
.note-text { font-style: italic }
.label { paint-order: stroke; stroke-width: 5px; stroke-linejoin: round }
.own { text-anchor: start }
${colours({ ink: '#1f2328', paper: '#ffffff', soft: '#d0d7de', box: '#ddf4ff', note: '#fff8c5' })}
@media (prefers-color-scheme: dark) {
${colours({ ink: '#e6edf3', paper: '#0d1117', soft: '#3d444d', box: '#13304d', note: '#3a2f0b' })}
}
</style>`

function colours(of: Readonly<Record<'ink' | 'paper' | 'soft' | 'box' | 'note', string>>): string {
  return [
    `text, .tip { fill: ${of.ink} }`,
    `.message { stroke: ${of.ink} }`,
    `.paper { fill: ${of.paper} }`,
    `.label { stroke: ${of.paper} }`,
    `.life { stroke: ${of.soft} }`,
    `.box { fill: ${of.box}; stroke: ${of.ink} }`,
    `.note { fill: ${of.note}; stroke: ${of.soft} }`,
  ].join('\n')
}
