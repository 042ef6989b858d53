import { describe, expect, test } from 'vitest'
import { type Figure, judge, missed, type Row, type Verdict } from './row.ts'

const CASES: readonly { name: string; figure: Omit<Figure, 'name'>; verdict: Verdict }[] = [
  { name: 'a figure without bounds', figure: { value: 9 }, verdict: 'unbounded' },
  { name: 'a figure at its upper bound', figure: { value: 3, atMost: 3 }, verdict: 'reached' },
  { name: 'a figure above its upper bound', figure: { value: 3.1, atMost: 3 }, verdict: 'missed' },
  { name: 'a figure at its lower bound', figure: { value: 2, atLeast: 2 }, verdict: 'reached' },
  { name: 'a figure below its lower bound', figure: { value: 1.9, atLeast: 2 }, verdict: 'missed' },
  {
    name: 'a figure between two bounds, above the upper one',
    figure: { value: 5, atLeast: 1, atMost: 4 },
    verdict: 'missed',
  },
  {
    name: 'a figure that is no number',
    figure: { value: Number.NaN, atMost: 3 },
    verdict: 'missed',
  },
  {
    name: 'a speed that the machine makes impossible, at 85 % of the machine',
    figure: { value: 1.1, atLeast: 1.3, ceiling: { atBest: 1.29, share: 0.85 } },
    verdict: 'ceiling',
  },
  {
    name: 'a speed that the machine makes impossible, further below the machine',
    figure: { value: 1, atLeast: 1.3, ceiling: { atBest: 1.29, share: 0.84 } },
    verdict: 'missed',
  },
  {
    name: 'a speed that the machine allows, near to it',
    figure: { value: 1.29, atLeast: 1.3, ceiling: { atBest: 1.31, share: 0.98 } },
    verdict: 'missed',
  },
  {
    name: 'a time that the machine makes impossible, at 90 % of the machine',
    figure: { value: 1.3, atMost: 1.05, ceiling: { atBest: 1.17, share: 0.9 } },
    verdict: 'ceiling',
  },
]

describe('what a figure must be', () => {
  test.for(CASES)('$name is $verdict', ({ figure, verdict }) => {
    expect(judge({ name: 'x', ...figure })).toBe(verdict)
  })

  test('a miss says by how much, and what the machine allows; a benchmark that failed is one', () => {
    const rows: Row[] = [
      {
        table: 'Pull',
        what: '8 MiB',
        figures: [
          { name: 'peak MB', value: 230, atMost: 200 },
          { name: 'loop ms', value: 12, atMost: 50 },
          {
            name: 'x as fast as oras',
            value: 1.04,
            atLeast: 1.3,
            ceiling: { atBest: 2.6, share: 0.4 },
          },
        ],
      },
      { table: 'Pull', what: '1 GiB', figures: [], failure: 'failed: no space' },
    ]
    expect(missed(rows)).toEqual([
      'Pull: 8 MiB: peak MB is 230, must be <= 200: 15 % off',
      'Pull: 8 MiB: x as fast as oras is 1.04, must be >= 1.3: 20 % off (the machine allows 2.6; 40 % of its speed reached)',
      'Pull: 1 GiB: failed: no space',
    ])
  })
})
