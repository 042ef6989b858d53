import { ANNOTATION_PREFIX } from '../common/composition/composition.ts'
import { bool, oneOf, optional, text } from '../common/flags.ts'
import { createCommand } from './command.ts'
import { type FileFinding, findingText, workflowCommand } from './finding-text.ts'
import { parseManifest } from './manifest.ts'
import { readManifestTexts } from './manifest-file.ts'
import { loadReviewPolicy, reviewManifest } from './manifest-review.ts'
import type { ReviewContext } from './object-review.ts'

const FORMATS = {
  text: (findings) => findings.map(findingText).join(''),
  json: (findings) => `${JSON.stringify(findings, undefined, 2)}\n`,
  github: (findings) => findings.map(workflowCommand).join(''),
} as const satisfies Record<string, (findings: readonly FileFinding[]) => string>

const FLAGS = {
  format: {
    value: 'FORMAT',
    doc: 'text, json, or github: commands for a workflow, which mark the lines of a pull request',
    default: 'text',
    parse: oneOf(['text', 'json', 'github']),
  },
  'policy-file': {
    ...{ value: 'FILE', default: '' },
    doc: "hold manifests against the admin's policy, too",
    parse: optional(text),
  },
  namespace: {
    ...{ value: 'NAME', short: 'n', default: '' },
    doc: 'for the policy: of manifests that name none; without one, what every namespace may have',
    parse: optional(text),
  },
  strict: { doc: 'warnings fail, too', parse: bool },
} as const

const ABOUT = `A directory stands for those of its *.yaml, *.yml and *.json files that have annotations of oras.land/. Templates are not YAML; lint
what they render to: helm template . | oras-csi lint -

Exit code 1 when something would be denied or cannot be read as YAML, 0 when there are only warnings.`

/**
 * Says of manifests, with file, line and column, what the webhooks would deny or warn of, by their own code. A directory stands for its YAML
 * and JSON files that speak of our annotations.
 *
 * Exit code 1 when something would be denied, or is no YAML.
 */
export const lint = createCommand({
  summary: 'say what the webhook would deny or warn of in manifests, and where',
  usage: 'oras-csi lint FILE|DIRECTORY|-... [FLAGS]',
  about: ABOUT,
  flags: FLAGS,
  positionals: 'some',
  async run(values, paths, io) {
    const { namespace, 'policy-file': policyFile } = values
    const context = {
      ...(namespace !== undefined && { namespace }),
      ...(policyFile !== undefined && { policy: await loadReviewPolicy(policyFile) }),
    }
    const source = { readStdin: io.readStdin, about: ANNOTATION_PREFIX }
    const findings: FileFinding[] = []
    for (const path of new Set(paths)) {
      for (const { name, text: manifest } of await readManifestTexts(path, source)) {
        findings.push(...lintManifest(name, manifest, context))
      }
    }
    io.stdout(FORMATS[values.format](findings))
    const fails = (one: FileFinding) => values.strict || one.severity === 'error'
    return findings.some(fails) ? 1 : 0
  },
})

/**
 * Finds what is wrong in a text of manifests.
 *
 * @param name of the file, for the findings
 * @returns in the order of the text
 */
export function lintManifest(
  name: string,
  text: string,
  context: ReviewContext = {},
): readonly FileFinding[] {
  const manifest = parseManifest(name, text)
  const faults = manifest.faults.map(
    ({ position, message }): FileFinding => ({
      ...{ file: name, ...position },
      ...{ severity: 'error', message },
    }),
  )
  const findings = reviewManifest(manifest, context).flatMap((one) => one.findings)
  return [...faults, ...findings].sort((a, b) => a.line - b.line || a.column - b.column)
}
