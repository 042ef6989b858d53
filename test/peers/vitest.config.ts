import { defineConfig } from 'vitest/config'
import { testReporters } from '../support/test-reporters.ts'

// biome-ignore lint/style/noDefaultExport: vitest reads the default export of this file
export default defineConfig({
  test: {
    include: ['test/peers/**/*.peer.ts'],
    // The first run compiles Go programs.
    testTimeout: 120_000,
    hookTimeout: 900_000,
    maxWorkers: 1,
    reporters: testReporters(),
  },
})
