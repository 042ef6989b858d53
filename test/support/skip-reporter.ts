import { readFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

/** A test that may be skipped, and the only reason for it. */
export interface AllowedSkip {
  /** `test/driver/volume/publish.test.ts > binds read-only` */
  readonly test: string
  /** What the test gives as its reason. */
  readonly reason: string
}

/** A test that did not run. */
export interface Skip {
  readonly test: string
  /** Undefined for a test that says nothing, e.g. one left out by a filter. */
  readonly reason: string | undefined
}

const ALLOWED = new URL('../allowed-skips.json', import.meta.url)

/**
 * Makes a reporter that says which tests were skipped and why; when it is strict, a skip that is not allowed fails the run, so that
 * a machine that lacks something cannot pass for one where everything works.
 *
 * @param strict default: whether the environment says `CI=true`
 */
export function skipReporter(
  options: {
    readonly strict?: boolean
    readonly allowed?: readonly AllowedSkip[]
    readonly write?: (text: string) => void
    readonly fail?: () => void
  } = {},
): Reporter {
  // biome-ignore lint/style/noProcessEnv: vitest's configuration is what composes a test run
  const strict = options.strict ?? process.env['CI'] === 'true'
  const write = options.write ?? ((text: string) => process.stderr.write(text))
  return {
    onTestRunEnd: (modules) => {
      const skips = modules.flatMap(skipsOf)
      for (const { test, reason } of skips) {
        if (reason !== undefined) write(`Skipped: ${test}: ${reason}\n`)
      }
      const refused = strict ? refusedSkips(skips, options.allowed ?? readAllowed()) : []
      if (refused.length === 0) return
      for (const { test, reason } of refused) {
        write(
          `Not allowed to be skipped (test/allowed-skips.json): ${test}: ${reason ?? 'no reason'}\n`,
        )
      }
      if (options.fail === undefined) process.exitCode = 1
      else options.fail()
    },
  }
}

/** The skips that are not in the list with the same reason. */
export function refusedSkips(skips: readonly Skip[], allowed: readonly AllowedSkip[]): Skip[] {
  return skips.filter(
    ({ test, reason }) => !allowed.some((entry) => entry.test === test && entry.reason === reason),
  )
}

function skipsOf(module: TestModule): Skip[] {
  return [...module.children.allTests('skipped')].map((test) => {
    const result = test.result()
    return {
      test: `${module.relativeModuleId} > ${test.fullName}`,
      reason: result.state === 'skipped' ? result.note : undefined,
    }
  })
}

function readAllowed(): AllowedSkip[] {
  return JSON.parse(readFileSync(ALLOWED, 'utf8'))
}
