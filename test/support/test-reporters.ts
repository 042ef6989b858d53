import type { Reporter } from 'vitest/node'
import { repeatReporter } from './repeat-reporter.ts'
import { skipReporter } from './skip-reporter.ts'

type TestReporter = 'default' | Reporter | ['json', { outputFile: string }]

/**
 * The reporters of every test run: what a person reads, what was skipped, and what passed only when repeated. The environment's `TEST_REPORT=FILE` adds vitest's JSON
 * report, for whoever counts.
 */
export function testReporters(): TestReporter[] {
  // biome-ignore lint/style/noProcessEnv: vitest's configuration is what composes a test run
  const outputFile = process.env['TEST_REPORT']
  return [
    'default',
    skipReporter(),
    repeatReporter(),
    ...(outputFile ? ([['json', { outputFile }]] satisfies TestReporter[]) : []),
  ]
}
