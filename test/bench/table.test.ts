import { expect, test } from 'vitest'
import type { Row } from './row.ts'
import { formatTables } from './table.ts'

test('rows of the same figures have a column for each; a row alone has a line for each', () => {
  const rows: Row[] = [
    {
      table: 'Pull',
      what: '8 MiB',
      figures: [
        { name: 'ours s', value: 0.1, samples: [0.1, 0.08, 0.21] },
        { name: 'speed', value: 1, atLeast: 1.3 },
      ],
    },
    {
      table: 'Pull',
      what: 'curl | tar',
      figures: [
        { name: 'ours s', value: 2 },
        { name: 'speed', value: 1.1, atLeast: 1.3, ceiling: { atBest: 1.2, share: 0.91 } },
      ],
    },
    { table: 'Pull', what: '1 GiB', figures: [], failure: 'failed: no space\nof 1 GiB' },
    {
      table: 'Memory',
      what: 'idle',
      figures: [
        { name: 'now MB', value: 100.04, atMost: 110 },
        { name: 'peak MB', value: 180 },
      ],
    },
  ]
  expect(formatTables(rows).replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---')).toBe(
    [
      '### Pull',
      '',
      '| what | ours s | speed |',
      '| --- | --- | --- |',
      '| 8 MiB | 0.1 (0.08-0.21) | 1 **MISSED >= 1.3** |',
      "| curl \\| tar | 2 | 1.1 (bound unreachable here; 91 % of the machine's speed) |",
      '| 1 GiB | failed: no space | |',
      '',
      '### Memory',
      '',
      '| what | figure | measured | must be |',
      '| --- | --- | --- | --- |',
      '| idle | now MB | 100 | <= 110 |',
      '| | peak MB | 180 | |',
    ].join('\n'),
  )
})
