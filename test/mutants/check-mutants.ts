import type { Mutant } from './mutant.ts'

const CLUSTER = ['test/cli/check-cluster.test.ts']
const PROCESS = ['test/cli/check.process.test.ts']

/** What `oras-csi check` must see, and must not show. */
export const CHECK_MUTANTS: readonly Mutant[] = [
  {
    name: 'writes escape sequences of a cluster to the terminal',
    file: 'cli/check-text.ts',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is code
    text: '${printable(message)}',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is code
    replacement: '${message}',
    tests: PROCESS,
    only: 'escape sequences',
  },
  {
    name: 'leaves bidi overrides and C1 controls in JSON',
    file: 'cli/check.ts',
    text: 'printableJson(JSON.stringify({ counts, groups }, undefined, 2))',
    replacement: 'JSON.stringify({ counts, groups }, undefined, 2)',
    tests: PROCESS,
    only: 'escape sequences',
  },
  {
    name: 'writes names into commands as they are',
    file: 'cli/check-finding.ts',
    text: "words.map(shellWord).join(' ')",
    replacement: "words.join(' ')",
    tests: PROCESS,
    only: 'escape sequences',
  },
  {
    name: 'fails where somebody has not every right',
    file: 'cli/check-cluster.ts',
    text: "if (!isCodedError(error, 'DENIED')) throw error",
    replacement: 'throw error',
    tests: CLUSTER,
    only: 'may see nothing',
  },
  {
    name: 'reads the first page of a list only',
    file: 'cli/kubernetes-snapshot.ts',
    text: 'if (next === undefined) return items',
    replacement: 'return items',
    tests: CLUSTER,
    only: 'shipped manifests|each for another reason',
  },
  {
    name: 'passes over webhook configurations whose matchConditions are gone',
    file: 'cli/check-admission.ts',
    text: 'if (names.length === 0) {',
    replacement: 'if (false) {',
    tests: CLUSTER,
    only: 'matchConditions',
  },
  {
    name: 'takes any CA bundle for the right one',
    file: 'cli/check-trust.ts',
    text: 'isSame(one, certificate) || isSigned(certificate, one)',
    replacement: 'true',
    tests: CLUSTER,
    only: 'CA bundle of another authority',
  },
  {
    name: 'trusts an authority for its name alone',
    file: 'cli/check-trust.ts',
    text: 'certificate.checkIssued(by) && certificate.verify(by.publicKey)',
    replacement: 'certificate.issuer === by.subject',
    tests: CLUSTER,
    only: 'CA bundle of another authority',
  },
  {
    name: 'does not look at when the certificate ends',
    file: 'cli/check-certificate.ts',
    text: 'if (leftMs < 0) return fail(',
    replacement: 'if (false) return fail(',
    tests: CLUSTER,
    only: 'a certificate that ended',
  },
  {
    name: 'takes a pod that nobody composed for a proof of the webhook',
    file: 'cli/check-trial.ts',
    text: 'textAt(annotations, ANNOTATIONS.status) === undefined',
    replacement: 'false',
    tests: CLUSTER,
    only: 'does not ask the webhook',
  },
  {
    name: 'keeps the trial pod',
    file: 'cli/kubernetes-snapshot.ts',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is code
    text: 'client.send(`${path}?dryRun=All`',
    replacement: 'client.send(path',
    tests: CLUSTER,
    only: 'shipped manifests',
  },
  {
    name: 'passes over nodes without the driver',
    file: 'cli/check-driver.ts',
    text: '!registered.has(nameOf(node))',
    replacement: 'false',
    tests: CLUSTER,
    only: 'driver',
  },
  {
    name: 'reports pods that run for a mount that failed before',
    file: 'cli/check-mounts.ts',
    text: "if (textAt(objectAt(pod, 'status'), 'phase') !== 'Pending') return false",
    replacement: '',
    tests: CLUSTER,
    only: 'waits for a volume',
  },
  {
    name: 'exits with 0 for errors',
    file: 'cli/check.ts',
    text: 'return counts.error === 0 ? 0 : 1',
    replacement: 'return 0',
    tests: PROCESS,
    only: 'exits with 1',
  },
  {
    name: 'looks once, however long it is to wait',
    file: 'cli/check.ts',
    text: '(last || countFindings(seen).error === 0)',
    replacement: 'true',
    tests: PROCESS,
    only: 'waits until',
  },
]
