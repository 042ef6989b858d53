import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { BLOCKS, DOC_PAGES, MARKED_LANGUAGES, parseBlocks, readDoc } from './blocks.ts'

/** Who runs the blocks of a suite. One that reads `everyBlock` runs all there are; others name each. */
const SUITES: Readonly<Record<string, string>> = {
  composed: 'test/docs/composed.test.ts',
  policy: 'test/docs/configuration.test.ts',
  hosts: 'test/docs/configuration.test.ts',
  values: 'test/docs/configuration.test.ts',
  kustomization: 'test/docs/configuration.test.ts',
  cli: 'test/docs/cli.process.test.ts',
  node: 'test/docs/node.process.test.ts',
  oras: 'test/peers/docs.peer.ts',
  cluster: 'test/cluster/scenarios/14-docs.cluster.ts',
}

const where = ({ page, line }: { page: string; line: number }) => `${page}:${line}`

describe('the pages of docs/', () => {
  test('say of every block that a reader runs or applies which test does, or why none does', () => {
    const marked = BLOCKS.filter(({ language }) => MARKED_LANGUAGES.includes(language))
    const wrong = marked.filter(({ mark }) => mark.kind === 'none').map(where)
    expect(wrong).toEqual([])
    const idle = BLOCKS.filter(({ language }) => !MARKED_LANGUAGES.includes(language))
    expect(idle.filter(({ mark }) => mark.kind !== 'none').map(where)).toEqual([])
    expect(idle.filter(({ language }) => language !== 'text').map(where)).toEqual([])
  })

  test('give each block that is run a name of its own, and a suite that there is', () => {
    const names = runNames()
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
    expect(names.filter((name) => SUITES[suiteOf(name)] === undefined)).toEqual([])
    expect(names.filter((name) => !/^[a-z]+\/[a-z0-9-]+$/.test(name))).toEqual([])
  })

  test('are used block by block: each by the test that it names, and by no other', async () => {
    const files = [
      ...(await readdir(join(CHECKOUT, 'test/docs'))).map((name) => `test/docs/${name}`),
      ...[SUITES['oras'], SUITES['cluster']].map(String),
    ].filter((file) => file.endsWith('.ts') && existsSync(join(CHECKOUT, file)))
    const uses: string[] = []
    for (const file of files) {
      const text = await readFile(join(CHECKOUT, file), 'utf8')
      for (const [, name = ''] of text.matchAll(/\bblock\('([^'<]+)'\)/g)) {
        if (file.endsWith('/blocks.ts') || file.endsWith('/docs.test.ts')) continue
        uses.push(`${name} by ${file}`)
      }
      for (const [, suite = ''] of text.matchAll(/\beveryBlock\('([^']+)'\)/g)) {
        uses.push(
          ...runNames()
            .filter((name) => suiteOf(name) === suite)
            .map((name) => `${name} by ${file}`),
        )
      }
    }
    const expected = runNames().map((name) => `${name} by ${SUITES[suiteOf(name)]}`)
    expect(uses.sort()).toEqual(expected.sort())
  })

  test.each(DOC_PAGES)('%s links only to what is there', (page) => {
    const text = withoutBlocks(readDoc(page))
    const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link ?? '')
      .filter((link) => !/^https:\/\//.test(link))
      .filter((link) => {
        const [path = '', anchor] = link.split('#')
        const file = path === '' ? page : join(dirname(page), path)
        if (!existsSync(join(CHECKOUT, file))) return true
        return anchor !== undefined && !anchorsOf(readDoc(file)).includes(anchor)
      })
    expect(broken).toEqual([])
  })

  test('are all reached from docs/README.md', () => {
    const links = [...readDoc('docs/README.md').matchAll(/\]\(([^)#]+\.md)/g)]
    const linked = new Set(links.map(([, path]) => join('docs', path ?? '')))
    const pages = DOC_PAGES.filter((page) => page !== 'docs/README.md')
    expect(pages.filter((page) => !linked.has(page))).toEqual([])
  })

  test.each(DOC_PAGES)('%s begins with a title and what the reader can do after it', (page) => {
    const [title, empty, first] = readDoc(page).split('\n')
    expect(title).toMatch(/^# \S/)
    expect(empty).toBe('')
    expect(first).toMatch(/^(?:After|This|How) /)
  })
})

describe('parseBlocks', () => {
  test('finds blocks, their marks and their place, in lists too', () => {
    const text = [
      '# A',
      '<!-- run: cli/x -->',
      '```sh',
      'a',
      '```',
      '1. b:',
      '   <!-- not run: needs a cloud -->',
      '   ```yaml',
      '   k: 1',
      '   ```',
      '```text',
      '```',
    ].join('\n')
    expect(parseBlocks('p.md', text)).toEqual([
      { page: 'p.md', line: 3, language: 'sh', text: 'a\n', mark: { kind: 'run', name: 'cli/x' } },
      {
        ...{ page: 'p.md', line: 8, language: 'yaml', text: 'k: 1\n' },
        mark: { kind: 'not run', reason: 'needs a cloud' },
      },
      { page: 'p.md', line: 11, language: 'text', text: '\n', mark: { kind: 'none' } },
    ])
    expect(() => parseBlocks('p.md', '```sh\na')).toThrow('p.md:1: the block is not closed')
  })
})

function runNames(): string[] {
  return BLOCKS.flatMap(({ mark }) => (mark.kind === 'run' ? [mark.name] : []))
}

function suiteOf(name: string): string {
  return name.split('/')[0] ?? ''
}

function withoutBlocks(text: string): string {
  return text.replace(/^( *)```[\s\S]*?^\1```$/gm, '').replace(/`[^`\n]*`/g, '')
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): readonly string[] {
  return [...withoutBlocks(text.replace(/`/g, '')).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
