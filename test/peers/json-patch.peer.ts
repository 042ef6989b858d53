import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compare } from '../../webhook/compare.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { run } from '../support/command.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { composed, pods } from '../webhook/pod-arbitrary.ts'
import { buildGoProgram } from './go-program.ts'

const RUNS = 400

const why = await whyNoProgram('go')

test('the JSON patch library of the API server makes of a pod and its patch what compose makes of the pod', async (context) => {
  skipUnless(context, why)
  const cases: { readonly pod: JsonObject; readonly after: JsonObject }[] = []
  for (const pod of fc.sample(pods, RUNS)) {
    const after = composed(pod)
    if (after !== undefined) cases.push({ pod, after })
  }
  expect(cases.length).toBeGreaterThan(RUNS / 4)
  const program = await buildGoProgram('json-patch')
  const questions = cases.map(({ pod, after }) =>
    JSON.stringify({ pod, patch: compare(pod, after) }),
  )
  const answers = await run(program, [], { input: questions.join('\n') })
  const patched = answers.trimEnd().split('\n')
  expect(patched).toHaveLength(cases.length)
  for (const [at, line] of patched.entries()) {
    expect(JSON.parse(line)).toStrictEqual(JSON.parse(JSON.stringify(cases[at]?.after)))
  }
})
