import { expect, test } from 'vitest'
import { createConnectionBudget } from '../../../../driver/pull/download/connection-budget.ts'

test('a registry and the node as a whole are asked for no more connections than they can take', () => {
  const budget = createConnectionBudget({ total: 6, perRegistry: 4 })
  const first = budget.share('a.example')
  const second = budget.share('a.example')
  const other = budget.share('b.example')
  expect(first.resize(8)).toBe(3)
  expect(second.resize(2)).toBe(1)
  expect(other.resize(8)).toBe(2)
  expect(first.resize(1)).toBe(1)
  expect(second.resize(8)).toBe(3)
  second[Symbol.dispose]()
  expect(other.resize(8)).toBe(4)
  expect(first.resize(8)).toBe(2)
})

test('one connection is nobody denied, and what was given back counts no more', () => {
  const budget = createConnectionBudget({ total: 1, perRegistry: 1 })
  for (let round = 0; round < 3; round++) {
    using first = budget.share('a.example')
    using second = budget.share('a.example')
    expect([first.resize(8), second.resize(8)]).toEqual([1, 1])
  }
  using alone = createConnectionBudget({ total: 8, perRegistry: 8 }).share('a.example')
  expect(alone.resize(100)).toBe(8)
})
