import fc from 'fast-check'
import jsonPatch from 'fast-json-patch'
import { describe, expect, test } from 'vitest'
import { lintManifest } from '../../cli/lint.ts'
import { formatManifest, parseManifest } from '../../cli/manifest.ts'
import { preview } from '../../cli/preview.ts'
import { warning } from '../../common/composition/warning.ts'
import { createLogger } from '../../common/log.ts'
import { isJsonObject, type JsonObject, objectAt } from '../../webhook/json.ts'
import { reviewPod } from '../../webhook/review.ts'
import { reviewWorkload } from '../../webhook/workload-review.ts'
import { podReview, workloadReview } from '../support/admission-review.ts'
import { pods } from '../webhook/pod-arbitrary.ts'
import { runCommand } from './command-run.ts'

// Each run parses, composes and parses again; two cores may be busy.
const TIMEOUT_MS = 120_000
const log = createLogger({ name: 'test', level: 'error', destination: { write: () => {} } })

/** Deployments as a person writes them; some have an annotation where it has no effect. */
const deployments = fc
  .tuple(pods, fc.boolean())
  .map(([{ metadata, spec }, isMisplaced]): JsonObject => {
    const annotations = isMisplaced ? { 'oras.land/artifacts': '/x' } : {}
    return {
      ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
      metadata: { name: 'web', annotations },
      spec: { template: { metadata, spec } },
    }
  })

const templateOf = (object: JsonObject | undefined) =>
  objectAt(objectAt(object, 'spec'), 'template') ?? {}

async function previewOf(text: string) {
  const { code, out } = await runCommand(preview, ['-f', '-'], { input: text })
  const [document] = parseManifest('f', out).documents
  return { code, out, object: document?.object }
}

/** A pod of the template, as the mutating webhook makes it; undefined where it denies it. */
function admitted(template: JsonObject): JsonObject | undefined {
  const pod = { apiVersion: 'v1', kind: 'Pod', ...template }
  const { body } = reviewPod(podReview(pod), { log })
  const response = objectAt(body, 'response')
  if (response?.['allowed'] !== true) return undefined
  const patch: unknown = JSON.parse(
    Buffer.from(String(response['patch'] ?? 'W10='), 'base64').toString(),
  )
  const { newDocument } = jsonPatch.applyPatch<unknown>(
    structuredClone(pod),
    Array.isArray(patch) ? patch : [],
  )
  if (!isJsonObject(newDocument)) throw new Error('Expected a pod')
  const { apiVersion: _, kind: __, ...composed } = newDocument
  return composed
}

const withoutPlace = (text: string) => text.replaceAll(/ \(line \d+, column \d+\)/g, '')

describe('oras-csi preview, of any Deployment,', { timeout: TIMEOUT_MS }, () => {
  test('shows the template of which pods come as the webhook makes them, or denies it as well', async () => {
    await fc.assert(
      fc.asyncProperty(deployments, async (deployment) => {
        const pod = admitted(templateOf(deployment))
        const { code, object } = await previewOf(formatManifest(deployment))
        expect(code).toBe(pod === undefined ? 1 : 0)
        if (pod !== undefined) expect(templateOf(object)).toStrictEqual(pod)
      }),
      { numRuns: 80 },
    )
  })

  test('changes nothing of what it showed, and lint finds nothing new in it', async () => {
    await fc.assert(
      fc.asyncProperty(deployments, async (deployment) => {
        const text = formatManifest(deployment)
        const once = await previewOf(text)
        if (once.code !== 0) return
        expect((await previewOf(once.out)).out).toBe(once.out)
        const before = lintManifest('f', text).map(({ message }) => message)
        for (const { message } of lintManifest('f', once.out)) expect(before).toContain(message)
      }),
      { numRuns: 80 },
    )
  })
})

describe('oras-csi lint, of any Deployment,', { timeout: TIMEOUT_MS }, () => {
  test('finds what the validating webhook denies or warns of, and nothing else', () => {
    let denied = 0
    fc.assert(
      fc.property(deployments, (deployment) => {
        const { body } = reviewWorkload(workloadReview('Deployment', deployment), { log })
        const response = objectAt(body, 'response')
        const found = lintManifest('f', formatManifest(deployment))
        const errors = found.filter(({ severity }) => severity === 'error')
        const warnings = found.filter((one) => one.severity === 'warning')
        expect(errors.length > 0).toBe(response?.['allowed'] !== true)
        if (errors.length > 0) {
          denied++
          const message = withoutPlace(String(objectAt(response, 'status')?.['message']))
          expect(errors.some((one) => message.startsWith(`spec.template: ${one.message}`))).toBe(
            true,
          )
        } else {
          const said = warnings.map(({ message }) => warning(message)).sort()
          expect(said).toStrictEqual([...((response?.['warnings'] as string[]) ?? [])].sort())
        }
      }),
      { numRuns: 120 },
    )
    expect(denied).toBeGreaterThan(5)
  })
})
