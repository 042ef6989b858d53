import type { Ground } from './ground.ts'
import type { Row } from './row.ts'

/** What every benchmark is given. */
export interface BenchmarkContext {
  /** The environment of our processes. */
  readonly env: Readonly<Record<string, string>>
  /** How often each contestant runs, the warm-up not counted. */
  readonly rounds: number
  /** Where stores and what is pulled are written. */
  readonly ground: Ground
}

/** Something that is measured by itself. */
export interface Benchmark {
  /** What it is selected by, e.g. `["pull", "512m"]`. */
  readonly words: readonly string[]
  /** Only run when it is asked for by this flag. */
  readonly only?: 'large'
  /** The rows' table and first cell, should it fail. */
  readonly table: string
  readonly what: string
  measure(context: BenchmarkContext): Promise<readonly Row[]>
}

/**
 * Chooses the benchmarks that have all of the words, in their order; all of them when there are none.
 *
 * @throws when a word selects nothing, with all words
 */
export function select(
  benchmarks: readonly Benchmark[],
  words: readonly string[],
  options: { readonly large: boolean },
): Benchmark[] {
  const selected = benchmarks.filter(
    (benchmark) =>
      (benchmark.only === undefined || options[benchmark.only]) &&
      words.every((word) => benchmark.words.includes(word)),
  )
  if (selected.length > 0) return selected
  const known = [...new Set(benchmarks.flatMap((benchmark) => benchmark.words))]
  throw new Error(
    `No benchmark has the words ${JSON.stringify(words.join(' '))}; the words are ${known.join(', ')}`,
  )
}

/** Runs them one after the other. One that fails gives a row that says so, and the next one runs. */
export async function runAll(
  benchmarks: readonly Benchmark[],
  context: BenchmarkContext,
  onDone: (benchmark: Benchmark, seconds: number) => void,
): Promise<Row[]> {
  const rows: Row[] = []
  for (const benchmark of benchmarks) {
    const started = performance.now()
    try {
      rows.push(...(await benchmark.measure(context)))
    } catch (error) {
      const failure = `failed: ${error instanceof Error ? error.message : String(error)}`
      rows.push({ table: benchmark.table, what: benchmark.what, figures: [], failure })
    }
    onDone(benchmark, (performance.now() - started) / 1_000)
  }
  return rows
}
