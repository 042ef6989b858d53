import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** How a run of tests ended. */
export interface TestRun {
  readonly passed: readonly string[]
  readonly failed: readonly string[]
  /** Test files that could not be loaded. */
  readonly broken: readonly string[]
  /** What vitest wrote, for messages. */
  readonly output: string
}

// Longer than the tests of a mutant take when all is well; one that hangs them lets their own deadlines pass.
const DEADLINE_MS = 300_000
/** Of everything at once. */
const BASELINE_DEADLINE_MS = 3_000_000

/**
 * Runs test files of a checkout; ends at the first failure when `bail` is set.
 *
 * @throws when the run did not get as far as a report
 */
export async function runTests(
  checkout: string,
  options: {
    readonly tests: readonly string[]
    readonly only?: string
    /** Of a mutant: the first red test will do. */
    readonly bail?: boolean
  },
): Promise<TestRun> {
  const { tests, only, bail = false } = options
  const report = join(checkout, 'mutant-report.json')
  await rm(report, { force: true })
  const deadlineMs = bail ? DEADLINE_MS : BASELINE_DEADLINE_MS
  const output = await vitest(checkout, deadlineMs, [
    'run',
    ...['--reporter=json', `--outputFile=${report}`, '--maxWorkers=1'],
    // Of a mutant that hangs there may be many tests, and nothing else runs on these cores.
    ...(bail ? ['--bail=1', '--testTimeout=30000'] : []),
    ...(only === undefined ? [] : [`--testNamePattern=${only}`]),
    ...tests,
  ])
  try {
    return { ...readReport(await readFile(report, 'utf8')), output }
  } catch (error) {
    throw new Error(`No report of ${tests.join(', ')}:\n${output}`, { cause: error })
  }
}

function vitest(checkout: string, deadlineMs: number, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(checkout, 'node_modules/vitest/vitest.mjs'), ...args],
      { cwd: checkout, timeout: deadlineMs, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 },
      // The exit code says less than the report.
      (_error, stdout, stderr) => resolve(`${stdout}${stderr}`),
    )
  })
}

function readReport(text: string): Omit<TestRun, 'output'> {
  const report: {
    readonly testResults: readonly {
      readonly name: string
      readonly status: string
      readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
    }[]
  } = JSON.parse(text)
  const tests = report.testResults.flatMap((file) => file.assertionResults)
  const named = (status: string) =>
    tests.filter((test) => test.status === status).map((test) => test.fullName)
  return {
    passed: named('passed'),
    failed: named('failed'),
    broken: report.testResults
      .filter((file) => file.status === 'failed' && file.assertionResults.length === 0)
      .map((file) => file.name),
  }
}
