import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHECKOUT } from '../manifests/manifest-objects.ts'

/** What a reader is told to type, to apply or to write into a file. */
export interface Block {
  /** e.g. `docs/recipes/java.md` */
  readonly page: string
  /** Of the fence, from 1. */
  readonly line: number
  /** What stands behind the fence, e.g. `yaml`; empty for text that is only to be read. */
  readonly language: string
  readonly text: string
  /** What the comment above it says. */
  readonly mark: Mark
}

/** What becomes of a block: `run` names the suite and the block in it, e.g. `composed/java`. */
export type Mark =
  | { readonly kind: 'run'; readonly name: string }
  | { readonly kind: 'not run'; readonly reason: string }
  | { readonly kind: 'none' }

/** Languages of what is run, applied or saved. What a program prints has none of them, and no mark. */
export const MARKED_LANGUAGES: readonly string[] = [
  ...['sh', 'console', 'bash', 'yaml', 'json', 'toml', 'ini', 'dockerfile'],
]

const DOCS = join(CHECKOUT, 'docs')

/** The pages, relative to the checkout, by name. */
export const DOC_PAGES: readonly string[] = readdirSync(DOCS, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`)
  .sort()

/** Reads a page, e.g. `docs/install.md`. */
export function readDoc(page: string): string {
  return readFileSync(join(CHECKOUT, page), 'utf8')
}

const FENCE = /^( *)```(\S*)\s*$/
const MARK = /^ *<!-- (run|not run): (.+?) -->$/

/** Finds the fenced blocks of a page. @throws where a fence is not closed */
export function parseBlocks(page: string, text: string): readonly Block[] {
  const lines = text.split('\n')
  const blocks: Block[] = []
  for (let at = 0; at < lines.length; at += 1) {
    const [, indent = '', language] = FENCE.exec(lines[at] ?? '') ?? []
    if (language === undefined) continue
    const end = lines.findIndex((line, index) => index > at && line === `${indent}\`\`\``)
    if (end < 0) throw new Error(`${page}:${at + 1}: the block is not closed`)
    const body = lines.slice(at + 1, end).map((line) => line.slice(indent.length))
    const mark = parseMark(lines[at - 1] ?? '')
    blocks.push({ page, line: at + 1, language, text: `${body.join('\n')}\n`, mark })
    at = end
  }
  return blocks
}

function parseMark(line: string): Mark {
  const [, kind, text = ''] = MARK.exec(line) ?? []
  if (kind === 'run') return { kind, name: text }
  return kind === 'not run' ? { kind, reason: text } : { kind: 'none' }
}

/** The blocks of all pages. */
export const BLOCKS: readonly Block[] = DOC_PAGES.flatMap((page) =>
  parseBlocks(page, readDoc(page)),
)

/** The blocks that a suite runs, by their names in it. */
export function everyBlock(suite: string): ReadonlyMap<string, Block> {
  return new Map(
    BLOCKS.flatMap((found) => {
      const name = found.mark.kind === 'run' ? found.mark.name : ''
      return name.startsWith(`${suite}/`) ? [[name.slice(suite.length + 1), found] as const] : []
    }),
  )
}

/** The text of a block that this test runs, e.g. `block('cluster/install')`. @throws where no page has it */
export function block(name: string): string {
  return textOf(name)
}

/** The text of a block that another test runs, and this one needs. @throws where no page has it */
export function textOf(name: string): string {
  const found = BLOCKS.find(({ mark }) => mark.kind === 'run' && mark.name === name)
  if (found === undefined) throw new Error(`No page has <!-- run: ${name} -->`)
  return found.text
}
