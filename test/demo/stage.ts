import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'

/** Where the demo speaks. Colours only on a terminal, and not with NO_COLOR. */
export interface Stage {
  /** Begins a numbered step. */
  step(title: string): void
  /** Says what was done or seen. */
  say(text: string): void
  /** Shows text as it is, indented; lines that `isNew` accepts stand out. */
  show(text: string, isNew?: (line: string) => boolean): void
  /** Shows a command and what it printed. */
  terminal(command: string, output: string, outcome?: 'ok' | 'failed'): void
  end(text: string): void
}

export function createStage(output: WriteStream): Stage {
  let step = 0
  const style = (format: Parameters<typeof styleText>[0], text: string) =>
    styleText(format, text, { stream: output })
  const line = (text = '') => output.write(`${text}\n`)
  return {
    step(title) {
      step += 1
      line()
      line(style('bold', `${step}. ${title}`))
    },
    say: (text) => line(`   ${text}`),
    show(text, isNew = () => false) {
      for (const row of text.trimEnd().split('\n')) {
        line(isNew(row) ? style('green', `   + ${row}`) : style('dim', `     ${row}`))
      }
    },
    terminal(command, text, outcome = 'ok') {
      line(`   ${style('cyan', `$ ${command}`)}`)
      for (const row of text.trimEnd().split('\n')) {
        line(`   ${style(outcome === 'ok' ? 'green' : 'red', row)}`)
      }
    },
    end(text) {
      line()
      line(style(['bold', 'green'], text))
    },
  }
}
