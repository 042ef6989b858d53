import { describe, expect, test } from 'vitest'
import { type Benchmark, runAll, select } from './benchmark.ts'

function benchmark(words: string, options: Partial<Benchmark> = {}): Benchmark {
  return {
    words: words.split(' '),
    table: 'Table',
    what: words,
    measure: async () => [{ table: 'Table', what: words, figures: [] }],
    ...options,
  }
}

const ALL = [benchmark('pull 8m'), benchmark('pull 2g', { only: 'large' }), benchmark('webhook')]
const namesOf = (benchmarks: readonly Benchmark[]) => benchmarks.map(({ what }) => what)

describe('choosing', () => {
  test.for([
    { words: [], large: false, selected: ['pull 8m', 'webhook'] },
    { words: [], large: true, selected: ['pull 8m', 'pull 2g', 'webhook'] },
    { words: ['pull'], large: true, selected: ['pull 8m', 'pull 2g'] },
    { words: ['8m', 'pull'], large: false, selected: ['pull 8m'] },
  ])('$words (large: $large) selects $selected', ({ words, large, selected }) => {
    expect(namesOf(select(ALL, words, { large }))).toEqual(selected)
  })

  test('words that nothing has together are refused, with all that there are', () => {
    expect(() => select(ALL, ['webhook', '8m'], { large: false })).toThrow(
      'No benchmark has the words "webhook 8m"; the words are pull, 8m, 2g, webhook',
    )
  })
})

test('a benchmark that fails is a row that says so, and the next one runs', async () => {
  const failing = benchmark('pull 8m', { measure: () => Promise.reject(new Error('no space')) })
  const context = {
    env: {},
    rounds: 1,
    ground: {
      path: '/nowhere',
      fresh: () => Promise.reject(new Error('not asked for')),
      settle: async () => {},
      require: async () => {},
      [Symbol.asyncDispose]: async () => {},
    },
  }
  const done: string[] = []
  const rows = await runAll([failing, benchmark('webhook')], context, ({ what }) => done.push(what))
  expect(rows).toEqual([
    { table: 'Table', what: 'pull 8m', figures: [], failure: 'failed: no space' },
    { table: 'Table', what: 'webhook', figures: [] },
  ])
  expect(done).toEqual(['pull 8m', 'webhook'])
})
