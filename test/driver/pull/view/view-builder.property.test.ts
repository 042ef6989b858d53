import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFileFilter } from '../../../../common/composition/file-filter.ts'
import { type Content, type Entry, viewFixture } from './view-fixture.ts'

/** What a view of some trees has, as a person would say it: a map of paths, the later source winning. */
function model(sources: readonly Source[]): Map<string, string> | 'conflict' | 'nothing selected' {
  const view = new Map<string, string>()
  const put = (path: string, what: string) => {
    for (const above of parentsOf(path)) {
      if ((view.get(above) ?? 'directory') !== 'directory') return false
      view.set(above, 'directory')
    }
    const there = view.get(path)
    if (there !== undefined && (there === 'directory') !== (what === 'directory')) return false
    view.set(path, what)
    return true
  }
  for (const { content, path, files } of sources) {
    const filter = createFileFilter(files)
    const paths = Object.entries(content)
    const isEmpty = (directory: string) =>
      !paths.some(([other]) => other.startsWith(`${directory}/`))
    const chosen = paths.filter(([own, entry]) =>
      describeEntry(entry) === 'directory'
        ? files === undefined ||
          (isEmpty(own) && filter.selects(own, 'directory') && filter.reach(own) !== 'none')
        : filter.selects(own, 'file'),
    )
    if (chosen.length === 0 && files !== undefined) return 'nothing selected'
    const prefix = path === undefined ? '' : `${path}/`
    if (path !== undefined && !put(path, 'directory')) return 'conflict'
    for (const [own, entry] of chosen) {
      if (!put(prefix + own, describeEntry(entry))) return 'conflict'
    }
  }
  return view
}

interface Source {
  readonly content: Content
  readonly path?: string
  readonly files?: readonly string[]
}

function parentsOf(path: string): string[] {
  const names = path.split('/')
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'))
}

function describeEntry(entry: Entry): string {
  if (typeof entry === 'string') return `file ${entry}`
  return 'link' in entry ? `link -> ${entry.link}` : 'directory'
}

/** Few names, so that sources meet. */
const name = fc.constantFrom('a', 'b', 'c.jar')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
const entry: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 5, arbitrary: fc.nat({ max: 99 }).map(String) },
  { weight: 1, arbitrary: fc.constantFrom('a', 'b/a', 'nowhere').map((link) => ({ link })) },
  { weight: 1, arbitrary: fc.constant({ directory: true } as const) },
)
/** Without those that another one is in the way of. */
const content = fc
  .uniqueArray(fc.tuple(path, entry), { maxLength: 8, selector: ([own]) => own })
  .map((entries): Content => {
    const kept = new Map<string, Entry>()
    for (const [own, what] of entries) {
      const blocked = parentsOf(own).some((above) => {
        const there = kept.get(above)
        return there !== undefined && describeEntry(there) !== 'directory'
      })
      const isParent = [...kept.keys()].some((other) => other.startsWith(`${own}/`))
      if (!blocked && (!isParent || describeEntry(what) === 'directory')) kept.set(own, what)
    }
    return Object.fromEntries(kept)
  })
const glob = fc.constantFrom('a', '*.jar', '/b', 'a/', '!b', 'b/**', '!a/b', '/a/*/c.jar', '!*.jar')
const source: fc.Arbitrary<Source> = fc.record(
  { content, path, files: fc.array(glob, { minLength: 1, maxLength: 3 }) },
  { requiredKeys: ['content'] },
)

test('the view of any trees is what a map of paths, filled in order, says', async () => {
  await using fixture = await viewFixture()
  let views = 0
  fc.assert(
    fc.property(fc.array(source, { minLength: 1, maxLength: 4 }), (sources) => {
      fixture.clear()
      const expected = model(sources)
      const trees = sources.map(({ content, ...options }) => fixture.source(content, options))
      if (expected === 'conflict' || expected === 'nothing selected') {
        expect(fixture.failure(trees)).toMatch(
          expected === 'conflict' ? /^INVALID Cannot put / : /nothing selected/,
        )
        return
      }
      const summary = fixture.build(trees)
      const found = Object.entries(fixture.view()).map(([own, what]) => [
        own,
        what.replace(/^(directory|file) \d+.*?( |$)/, (_, kind, space) => `${kind}${space}`),
      ])
      expect(Object.fromEntries(found.filter(([own]) => own !== '.'))).toEqual(
        Object.fromEntries(expected),
      )
      const kinds = [...expected.values()].map((what) => what.split(' ')[0])
      const count = (kind: string) => kinds.filter((found) => found === kind).length
      expect(summary).toMatchObject({
        files: count('file'),
        directories: count('directory'),
        links: count('link'),
      })
      views += 1
    }),
    { numRuns: 300 },
  )
  // Some 120 of them are views and not refusals; with few, this would show little.
  expect(views).toBeGreaterThan(50)
})
