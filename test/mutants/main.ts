import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { type CheckoutCopy, copyCheckout } from './checkout.ts'
import { type Mutant, mutate } from './mutant.ts'
import { MUTANTS } from './mutants.ts'
import { runTests } from './run-tests.ts'

// Two cores.
const LANES = 2

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

/**
 * Breaks the code in one small way at a time, in copies of the checkout, and shows that its tests turn red.
 *
 *     npm run test:mutants [-- WORD-OF-A-NAME...]
 */
async function main(words: readonly string[]): Promise<number> {
  const chosen = MUTANTS.filter(
    ({ name }) => words.length === 0 || words.some((word) => name.includes(word)),
  )
  if (chosen.length === 0) throw new Error(`No mutant has ${words.join(' or ')} in its name`)
  await using stack = new AsyncDisposableStack()
  const copies: CheckoutCopy[] = []
  for (let lane = 0; lane < LANES; lane++) copies.push(stack.use(await copyCheckout()))

  // Before anything takes long: a mutant whose text is gone tests nothing.
  const sources = new Map<string, string>()
  for (const mutant of chosen) {
    const source = await readFile(join(copies[0]?.path ?? '', mutant.file), 'utf8')
    mutate(source, mutant)
    sources.set(mutant.file, source)
  }
  await checkBaseline(chosen, copies)

  const survivors: string[] = []
  const limit = pLimit(LANES)
  await Promise.all(
    chosen.map((mutant) =>
      limit(async () => {
        const copy = copies.pop()
        if (copy === undefined) throw new Error('More mutants at once than copies')
        const fault = await tryMutant(mutant, copy.path, sources.get(mutant.file) ?? '')
        if (fault !== undefined) survivors.push(`${mutant.name}: ${fault}`)
        copies.push(copy)
      }),
    ),
  )
  for (const survivor of survivors) say(`SURVIVED ${survivor}`)
  say(`${chosen.length - survivors.length} mutants killed, ${survivors.length} survived`)
  return survivors.length === 0 ? 0 : 1
}

/** Runs what the mutants name on code that is not broken: a test that is red anyway, or does not run, notices nothing. */
async function checkBaseline(
  mutants: readonly Mutant[],
  copies: readonly CheckoutCopy[],
): Promise<void> {
  const started = performance.now()
  const whole = mutants.filter(({ only }) => only === undefined)
  const selected = mutants.filter(({ only }) => only !== undefined)
  const runs = await Promise.all(
    [
      { tests: unique(whole.flatMap(({ tests }) => tests)) },
      {
        tests: unique(selected.flatMap(({ tests }) => tests)),
        only: unique(selected.map(({ only }) => `(?:${only})`)).join('|'),
      },
    ].map(async (run, lane) =>
      run.tests.length === 0 ? undefined : runTests(copies[lane]?.path ?? '', run),
    ),
  )
  for (const run of runs) {
    if (run === undefined) continue
    const red = [...run.failed, ...run.broken]
    if (red.length > 0) throw new Error(`Red without any mutant: ${red.join(', ')}\n${run.output}`)
  }
  const passed = runs.flatMap((run) => run?.passed ?? [])
  for (const { name, only } of selected) {
    if (!passed.some((test) => new RegExp(only ?? '').test(test))) {
      throw new Error(`Mutant "${name}": no test that ran is called ${only}`)
    }
  }
  say(`Green without mutants: ${passed.length} tests, ${seconds(started)}`)
}

/** @returns why the mutant lives, or undefined when a test noticed it */
async function tryMutant(
  mutant: Mutant,
  checkout: string,
  source: string,
): Promise<string | undefined> {
  const started = performance.now()
  const file = join(checkout, mutant.file)
  await writeFile(file, mutate(source, mutant))
  try {
    const { failed, broken, passed } = await runTests(checkout, { ...mutant, bail: true })
    const [first] = failed
    if (first !== undefined) {
      say(`killed ${mutant.name} (${seconds(started)}): "${first}"`)
      return undefined
    }
    return broken.length > 0
      ? `the code does not load: ${broken.join(', ')}`
      : `${passed.length} tests of ${mutant.tests.join(', ')} passed`
  } finally {
    await writeFile(file, source)
  }
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)]
}

function seconds(started: number): string {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`
}

process.exitCode = await main(process.argv.slice(2))
