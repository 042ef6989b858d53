import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { testReporters } from '../support/test-reporters.ts'

/** By name: the scenarios are numbered, and the last one takes oras-csi from the cluster. */
class ByName extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => a.moduleId.localeCompare(b.moduleId))
  }
}

// biome-ignore lint/style/noDefaultExport: vitest reads the default export of this file
export default defineConfig({
  test: {
    include: ['test/cluster/scenarios/*.cluster.ts'],
    globalSetup: ['test/cluster/global-setup.ts'],
    sequence: { sequencer: ByName },
    // One cluster for all of them.
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 120_000,
    // The time of each scenario, of the quick ones too.
    slowTestThreshold: 0,
    reporters: testReporters(),
  },
})
