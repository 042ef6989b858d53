import { ANNOTATION_PREFIX } from '../common/composition/composition.ts'
import { bool, text } from '../common/flags.ts'
import { createCommand, type Io } from './command.ts'
import { composedText } from './composed-text.ts'
import { findingText } from './finding-text.ts'
import { parseManifest, refuseFaults } from './manifest.ts'
import { type ManifestText, readManifestTexts } from './manifest-file.ts'
import { reviewManifest } from './manifest-review.ts'
import { unifiedDiff } from './unified-diff.ts'
import { WORKLOAD_NAMES } from './workload.ts'

const FLAGS = {
  file: {
    ...{ value: 'FILE', short: 'f' },
    doc: 'YAML or JSON; a directory: those of its files that ask for artifacts; "-" reads standard input',
    parse: text,
  },
  diff: { doc: 'show what changes, as a unified diff that patch(1) takes', parse: bool },
} as const

const ABOUT = `Everything else stays as it is, so that it can stand in a pipe, in place of the webhook:
helm template . | oras-csi preview -f - | kubectl apply -f -

Exit code 1 when something would be denied: documents with it are left out, and the others shown all the same.`

/**
 * Shows manifests as they would be with the webhook: pods and pod templates composed by its own code, everything else to the letter, so that it
 * stands in a pipe: `helm template . | oras-csi preview -f - | kubectl apply -f -`. It asks no cluster, so it sees neither the imagePullSecrets
 * of a service account nor what other webhooks add.
 *
 * Exit code 1 when something would be denied; the documents that hold it are left out, and the others shown all the same.
 */
export const preview = createCommand({
  summary: 'show pods and workloads as the webhook would make them',
  usage: 'oras-csi preview -f FILE|DIRECTORY|- [--diff]',
  about: ABOUT,
  flags: FLAGS,
  async run({ file, diff }, _, io) {
    const { readStdin } = io
    const texts = await readManifestTexts(file, { readStdin, about: ANNOTATION_PREFIX })
    const files = texts.map(reviewText)
    for (const { findings } of files) io.stderr(findings)
    const workloads = files.reduce((sum, one) => sum + one.workloads, 0)
    if (workloads === 0) {
      const [last, ...others] = WORKLOAD_NAMES.toReversed()
      const kinds = `${others.toReversed().join(', ')} or ${last}`
      io.stderr(
        `${file === '-' ? 'stdin' : file}: found no pod and no workload; expected a ${kinds}\n`,
      )
    }
    const shown = files.map((one) => (diff ? diffOf(one, io) : one.composed))
    io.stdout(diff ? shown.join('') : joined(shown))
    return files.some(({ denied }) => denied) ? 1 : 0
  },
})

interface ReviewedText extends ManifestText {
  /** The whole text, without what is denied. */
  readonly composed: string
  /** The whole text; what is denied is as it was. */
  readonly after: string
  readonly findings: string
  readonly workloads: number
  readonly denied: boolean
}

function reviewText({ name, text: before }: ManifestText): ReviewedText {
  const manifest = parseManifest(name, before)
  refuseFaults(manifest)
  const reviewed = reviewManifest(manifest, {})
  const texts = reviewed.map((one) => ({
    denied: one.findings.some(({ severity }) => severity === 'error'),
    text:
      one.review === undefined
        ? one.document.text
        : composedText(one.document, one.review.composed),
    before: one.document.text,
  }))
  return {
    ...{ name, text: before },
    composed: texts.map((one) => (one.denied ? '' : one.text)).join(''),
    after: texts.map((one) => (one.denied ? one.before : one.text)).join(''),
    findings: reviewed.flatMap(({ findings }) => findings.map(findingText)).join(''),
    workloads: reviewed.reduce((sum, { review }) => sum + (review?.workloads ?? 0), 0),
    denied: texts.some(({ denied }) => denied),
  }
}

function diffOf({ name, text: before, after }: ReviewedText, io: Io): string {
  const colour = io.isTerminal && !io.env['NO_COLOR']
  return unifiedDiff(before, after, { name, colour })
}

/** One stream of the documents of several files. */
function joined(texts: readonly string[]): string {
  return texts
    .filter((one) => one !== '')
    .map((one, index) => {
      const marker = index === 0 || /^(?:%|---(?:\s|$))/.test(one) ? '' : '---\n'
      return `${marker}${one}${one.endsWith('\n') ? '' : '\n'}`
    })
    .join('')
}
