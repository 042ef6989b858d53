import { defineConfig } from 'vitest/config'
import { testReporters } from './test/support/test-reporters.ts'

// biome-ignore lint/style/noDefaultExport: vitest reads the default export of this file
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: testReporters(),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores: tests that start processes and mount file systems want room.
    maxWorkers: 2,
  },
})
