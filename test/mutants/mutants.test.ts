import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CHECKOUT } from './checkout.ts'
import { mutate } from './mutant.ts'
import { MUTANTS } from './mutants.ts'

test('each mutant has a name of its own, and breaks code that there is', async () => {
  const names = MUTANTS.map(({ name }) => name)
  expect(names).toEqual([...new Set(names)])
  const faults: string[] = []
  for (const mutant of MUTANTS) {
    try {
      mutate(await readFile(join(CHECKOUT, mutant.file), 'utf8'), mutant)
    } catch (error) {
      faults.push(String(error))
    }
  }
  expect(faults).toEqual([])
})
