/** A small breakage of the code, and the tests that must notice it. */
export interface Mutant {
  /** What the broken code does, e.g. `forgets to write the lease`. */
  readonly name: string
  /** Relative to the checkout. */
  readonly file: string
  /** What is replaced; stands in the file exactly once. */
  readonly text: string
  readonly replacement: string
  /** The test files of which one must turn red. */
  readonly tests: readonly string[]
  /** Runs only the tests whose full name matches, where a whole file takes long: vitest's `--testNamePattern`. */
  readonly only?: string
}

/** Breaks the text of a mutant's file. Throws unless its `text` is there exactly once. */
export function mutate(source: string, mutant: Mutant): string {
  const { name, file, text, replacement } = mutant
  const count = source.split(text).length - 1
  if (count !== 1) {
    throw new Error(
      `Mutant "${name}": expected its text in ${file} once, found it ${count} times; the code has changed, so change test/mutants/mutants.ts`,
    )
  }
  if (text === replacement) throw new Error(`Mutant "${name}" changes nothing`)
  return source.replace(text, () => replacement)
}
