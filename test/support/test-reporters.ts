import type { Reporter } from 'vitest/node'
import { skipReporter } from './skip-reporter.ts'

type TestReporter = 'default' | Reporter | ['json', { outputFile: string }]

/**
 * The reporters of every test run: what a person reads, and what was skipped. The environment's `TEST_REPORT=FILE` adds vitest's JSON
 * report, for whoever counts.
 */
export function testReporters(): TestReporter[] {
  // biome-ignore lint/style/noProcessEnv: vitest's configuration is what composes a test run
  const outputFile = process.env['TEST_REPORT']
  return [
    'default',
    skipReporter(),
    ...(outputFile ? ([['json', { outputFile }]] satisfies TestReporter[]) : []),
  ]
}
