import type { Reporter, TestModule } from 'vitest/node'

/** What each line of the reporter begins with: whoever reads a log looks for it. */
export const PASSED_WHEN_REPEATED = 'Passed when repeated:'

/** Makes a reporter that names every test which failed first, with what it failed for: it is to be mended, though it fails no run. */
export function repeatReporter(
  write: (text: string) => void = (text) => process.stderr.write(text),
): Reporter {
  return {
    onTestRunEnd: (modules) => {
      for (const line of modules.flatMap(repeatsOf)) write(`${PASSED_WHEN_REPEATED} ${line}\n`)
    },
  }
}

function repeatsOf(module: TestModule): string[] {
  return [...module.children.allTests('passed')]
    .filter((test) => test.diagnostic()?.flaky === true)
    .map((test) => {
      const [error] = test.result().errors ?? []
      const [reason = 'no message'] = (error?.message ?? '').split('\n')
      return `${module.relativeModuleId} > ${test.fullName}: ${reason}`
    })
}
