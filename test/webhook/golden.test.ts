import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { compare } from '../../webhook/compare.ts'
import { type ComposeVerdict, compose } from '../../webhook/compose.ts'
import { isJsonObject, type JsonObject } from '../../webhook/json.ts'

// Each file is a pod, and below what becomes of it. Write the pod and a comment, then let `vitest run test/webhook/golden.test.ts --update` write the
// rest, and read what it wrote.
const DIRECTORY = join(import.meta.dirname, 'golden')
const SEPARATOR = '---\n'

const composed = await casesIn('composed')
const denied = await casesIn('denied')

describe('a pod that is composed:', () => {
  test.each(composed)('$title', async ({ file, pod, input }) => {
    const before = structuredClone(input)
    const verdict = compose(input)
    expect(input).toStrictEqual(before)
    if (verdict.kind === 'denied') throw verdict.error
    await expect(shown(pod, verdict)).toMatchFileSnapshot(file)
    for (const warning of verdict.warnings) expect(warning.length).toBeLessThanOrEqual(120)
    // The webhook is called again when another one changed the pod.
    const again = compose(structuredClone(verdict.pod))
    if (again.kind === 'denied') throw again.error
    expect(compare(verdict.pod, again.pod)).toStrictEqual([])
  })
})

describe('a pod that is denied:', () => {
  test.each(denied)('$title', async ({ file, pod, input }) => {
    const verdict = compose(input)
    expect(verdict.kind).toBe('denied')
    await expect(shown(pod, verdict)).toMatchFileSnapshot(file)
  })
})

describe('the cases', () => {
  test('are many enough to learn from', () => {
    expect(composed.length).toBeGreaterThanOrEqual(60)
    expect(denied.length).toBeGreaterThanOrEqual(40)
  })

  test.each([
    ['composed', composed],
    ['denied', denied],
  ] as const)('that are %s are numbered in order, and say what they show', (_kind, cases) => {
    const numbers = cases.map(({ title }) => Number(title.slice(0, 2)))
    expect(numbers).toEqual(cases.map((_, index) => index + 1))
    for (const { pod } of cases) expect(pod).toMatch(/^# \S/)
  })

  test('that are denied have each a message of its own', () => {
    const messages = denied.map(({ input }) => {
      const verdict = compose(input)
      return verdict.kind === 'denied' ? verdict.error.message : ''
    })
    expect(new Set(messages).size).toBe(messages.length)
  })
})

interface Case {
  readonly title: string
  readonly file: string
  /** Comment and pod, as written. */
  readonly pod: string
  readonly input: JsonObject
}

async function casesIn(kind: string): Promise<readonly Case[]> {
  const directory = join(DIRECTORY, kind)
  const names = (await readdir(directory)).sort()
  return Promise.all(
    names.map(async (name) => {
      const file = join(directory, name)
      const [pod = ''] = (await readFile(file, 'utf8')).split(`\n${SEPARATOR}`)
      const input: unknown = parse(pod)
      if (!isJsonObject(input)) throw new Error(`${file}: expected a pod`)
      return { title: name.replace('.yaml', ''), file, pod: `${pod.trimEnd()}\n`, input }
    }),
  )
}

/** The pod as written, and what becomes of it. */
function shown(pod: string, verdict: ComposeVerdict): string {
  if (verdict.kind === 'denied') {
    const [first, ...others] = verdict.findings.map(({ message }) => message)
    const document = { denied: first, ...(others.length > 0 && { 'also wrong': others }) }
    return pod + SEPARATOR + yaml(document)
  }
  const { warnings } = verdict
  const documents = [yaml(verdict.pod), ...(warnings.length > 0 ? [yaml({ warnings })] : [])]
  return pod + documents.map((document) => SEPARATOR + document).join('')
}

function yaml(document: object): string {
  return stringify(document, { lineWidth: 0 })
}
