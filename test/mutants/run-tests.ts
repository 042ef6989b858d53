import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { CHECKOUT } from './checkout.ts'

/** How a run of tests ended. */
export interface TestRun {
  readonly passed: readonly PassedTest[]
  readonly failed: readonly string[]
  /** Test files that could not be loaded. */
  readonly broken: readonly string[]
  /** What vitest wrote, for messages. */
  readonly output: string
}

/** One test that passed. */
export interface PassedTest {
  /** e.g. `test/common/json.test.ts` */
  readonly file: string
  readonly fullName: string
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
    return { ...(await readReport(report, checkout)), output }
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

/** Reads what vitest's reporter "json" wrote about tests of a checkout, by default of this one. */
export async function readReport(path: string, checkout: string = CHECKOUT): Promise<TestRun> {
  const report: {
    readonly testResults: readonly {
      readonly name: string
      readonly status: string
      readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
    }[]
  } = JSON.parse(await readFile(path, 'utf8'))
  const tests = report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ fullName, status }) => ({
      ...{ file: relative(checkout, name), fullName, status },
    })),
  )
  return {
    passed: tests.filter(({ status }) => status === 'passed'),
    failed: tests.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
    broken: report.testResults
      .filter(
        ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
      )
      .map(({ name }) => name),
    output: '',
  }
}
