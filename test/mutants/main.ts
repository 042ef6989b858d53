import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pLimit from 'p-limit'
import { type CheckoutCopy, copyCheckout } from './checkout.ts'
import { type Mutant, mutate } from './mutant.ts'
import { MUTANTS } from './mutants.ts'
import { readReport, runTests, type TestRun } from './run-tests.ts'

// Two cores.
const LANES = 2

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

/**
 * Breaks the code in one small way at a time, in copies of the checkout, and shows that its tests turn red.
 *
 *     npm run test:mutants [-- WORD-OF-A-NAME... [--report FILE]]
 *
 * The report is what a run of all tests on this checkout wrote, with `TEST_REPORT=FILE npm test`: then they need not run again without a mutant.
 */
async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals: words } = parseArgs({
    args: [...argv],
    options: { report: { type: 'string' } },
    allowPositionals: true,
  })
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
  const runs =
    values.report === undefined
      ? await runBaseline(chosen, copies)
      : [await readReport(values.report)]
  checkBaseline(chosen, runs)

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

/** Runs what the mutants name on code that is not broken. */
async function runBaseline(
  mutants: readonly Mutant[],
  copies: readonly CheckoutCopy[],
): Promise<readonly TestRun[]> {
  const whole = mutants.filter(({ only }) => only === undefined)
  const selected = mutants.filter(({ only }) => only !== undefined)
  const runs = [
    { tests: unique(whole.flatMap(({ tests }) => tests)) },
    {
      tests: unique(selected.flatMap(({ tests }) => tests)),
      only: unique(selected.map(({ only }) => `(?:${only})`)).join('|'),
    },
  ].filter(({ tests }) => tests.length > 0)
  return Promise.all(runs.map((run, lane) => runTests(copies[lane]?.path ?? '', run)))
}

/** @throws when a test is red anyway, or does not run: it notices nothing */
function checkBaseline(mutants: readonly Mutant[], runs: readonly TestRun[]): void {
  for (const { failed, broken, output } of runs) {
    const red = [...failed, ...broken]
    if (red.length > 0) throw new Error(`Red without any mutant: ${red.join(', ')}\n${output}`)
  }
  const passed = runs.flatMap((run) => run.passed)
  for (const { name, tests, only = '' } of mutants) {
    const ran = passed.some(
      (test) => tests.includes(test.file) && new RegExp(only).test(test.fullName),
    )
    if (!ran) throw new Error(`Mutant "${name}": no test of ${tests.join(', ')} ran ${only}`)
  }
  say(`Green without mutants: ${passed.length} tests`)
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
