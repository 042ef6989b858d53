import { defineConfig } from 'vitest/config'
import { testReporters } from '../support/test-reporters.ts'

// biome-ignore lint/style/noDefaultExport: vitest reads the default export of this file
export default defineConfig({
  test: {
    include: ['test/peers/**/*.peer.ts'],
    globalSetup: ['test/peers/build-go-programs.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
    reporters: testReporters(),
  },
})
