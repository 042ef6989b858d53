import { defineConfig } from 'vitest/config'
import { testReporters } from './test/support/test-reporters.ts'

// biome-ignore lint/style/noDefaultExport: vitest reads the default export of this file
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: testReporters(),
    // Generous: a machine that is busy with something else is no fault of the code.
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // Two cores: tests that start processes and mount file systems want room.
    maxWorkers: 2,
    // Thousands of tests on real parts share a machine there, and one that is unlucky would refuse all. The end of the run names it.
    // biome-ignore lint/style/noProcessEnv: vitest's configuration is what composes a test run
    retry: process.env['CI'] === 'true' ? 1 : 0,
  },
})
