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
  },
})
