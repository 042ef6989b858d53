import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { run } from '../support/command.ts'
import { table } from './table.ts'

/** The two programs, by the heading of their tables. */
const PROGRAMS = [
  { title: 'Webhook', script: 'webhook/main.ts' },
  { title: 'Driver', script: 'driver/main.ts' },
] as const

const INTRODUCTION = `# Reference: flags

After this page you know what can be set when the webhook and the driver are started.

Flags are arguments of the containers: \`--name=VALUE\`. With Helm, \`webhook.flags\` and \`driver.flags\` take them, without dashes. With kustomize, a patch adds to \`args\`.

| kind of value | e.g.                        |
| ------------- | --------------------------- |
| DURATION      | \`250ms\`, \`15s\`, \`5m\`, \`24h\` |
| BYTES         | \`4096\`, \`500M\`, \`100Gi\`     |
| [HOST]:PORT   | \`:9443\`, \`127.0.0.1:9443\`   |

This page is written by \`node test/docs/write-reference-flags.ts\` from what \`--help\` says; a test compares the two.
`

/** Writes the page from what the programs say of themselves. */
export async function referenceFlagsPage(): Promise<string> {
  const sections = PROGRAMS.map(async ({ title, script }) => {
    // The default of --node-id is the machine's name.
    const help = await run(process.execPath, [script, '--help'], {
      cwd: CHECKOUT,
      env: { NODE_NAME: '', COLUMNS: '500' },
    })
    return `## ${title}\n\n\`${script}\`\n\n${flagTable(help)}`
  })
  return [INTRODUCTION, ...(await Promise.all(sections))].join('\n')
}

/** Makes a table of the lines of a help text that tell of flags. */
export function flagTable(help: string): string {
  const rows = help.split('\n').flatMap((line) => {
    const [, name, , value = '', text = ''] = /^ {2}--([a-z-]+)( (\S+))? {2,}(.*)$/.exec(line) ?? []
    if (name === undefined || name === 'help') return []
    const [, said = text, notes = ''] = /^(.*) \(([^()]*)\)$/.exec(text) ?? []
    const isNote = /^(?:default |or \$|may be repeated)/.test(notes)
    const shown = isNote ? said : text
    const fallback = isNote ? noteText(name, notes) : ''
    return [[`\`--${name}\``, value, escaped(shown), fallback]]
  })
  return table([['flag', 'value', 'says', 'default'], ...rows])
}

/** Writes a table as the formatter does: columns as wide as their widest cell. */

function noteText(name: string, notes: string): string {
  const parts = notes.split(', ').map((note) => {
    const [, value] = /^default (.*)$/.exec(note) ?? []
    if (value === undefined) return note.replace(/\$\w+/, '`$&`')
    return name === 'node-id' ? "the machine's name" : `\`${value}\``
  })
  return parts.join(', ')
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|')
}
