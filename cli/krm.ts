import { CodedError } from '../common/errors.ts'
import { isJsonObject, type JsonObject, objectAt } from '../webhook/json.ts'
import { createCommand } from './command.ts'
import { composedText } from './composed-text.ts'
import { readKrmOptions } from './krm-options.ts'
import { type KrmResult, krmResult } from './krm-result.ts'
import { type ManifestDocument, parseManifest, refuseFaults } from './manifest.ts'
import { isResourceList, type ObjectFinding, reviewObject } from './object-review.ts'

const ABOUT = `kustomize build --enable-alpha-plugins --enable-exec runs it, where the kustomization has a transformer such as this, with
the way to the program seen from the kustomization (all of spec may be left out):

  apiVersion: csi.oras.land/v1alpha1
  kind: Composition
  metadata:
    name: oras-csi
    annotations:
      config.kubernetes.io/function: |
        exec: {path: ./oras-csi, args: [krm]}
  spec:
    strict: true       # warnings fail, too
    lintOnly: false    # true: only results, nothing is composed
    namespace: shop    # for the policy: of objects that name none
    policy: {...}      # the admin's policy, as an object or as text

In place of spec, a ConfigMap says the same in its data. Exit code 1 when something would be denied.`

/**
 * Composes as a function of the Kubernetes Resource Model, so that kustomize and kpt do without any webhook what it would do: reads a
 * ResourceList, and writes it with its pods and workloads composed and with `results`. What is said there goes to standard error as well,
 * because kustomize shows no results.
 *
 * Exit code 1 when something would be denied; that item is as it was.
 *
 * @see readKrmOptions for the functionConfig
 */
export const krm = createCommand({
  summary: 'compose as a KRM function of kustomize or kpt: a ResourceList in and out',
  usage: 'oras-csi krm < RESOURCE_LIST',
  about: ABOUT,
  flags: {},
  async run(_, __, io) {
    const { document, list } = readResourceList(await io.readStdin())
    const { context, strict, lintOnly } = readKrmOptions(objectAt(list, 'functionConfig'))
    const { composed, findings } = reviewObject(list, context)
    const results = findings.map((finding) => krmResult(itemOf(list, finding), finding))
    const present = Array.isArray(list['results']) ? list['results'] : []
    const after: JsonObject = {
      ...(lintOnly ? list : composed),
      ...(results.length > 0 && { results: [...present, ...results] }),
    }
    io.stdout(composedText(document, after))
    for (const result of results) io.stderr(resultText(result))
    const fails = (one: KrmResult) => strict || one.severity === 'error'
    return results.some(fails) ? 1 : 0
  },
})

interface ResourceList {
  readonly document: ManifestDocument
  readonly list: JsonObject
}

function readResourceList(text: string): ResourceList {
  const manifest = parseManifest('stdin', text)
  refuseFaults(manifest)
  const documents = manifest.documents.filter(({ object }) => object !== undefined)
  const [document] = documents
  const list = document?.object
  if (documents.length === 1 && document !== undefined && list && isResourceList(list)) {
    return { document, list }
  }
  throw new CodedError(
    'INVALID',
    'stdin: expected one ResourceList of config.kubernetes.io, as kustomize and kpt write it; for other manifests there is "oras-csi preview -f -"',
  )
}

/** The workload that a result is about. */
function itemOf(list: JsonObject, { workload }: ObjectFinding): JsonObject {
  let found: unknown = list
  for (const step of workload) {
    found = Array.isArray(found) ? found[Number(step)] : isJsonObject(found) ? found[step] : {}
  }
  return isJsonObject(found) ? found : {}
}

/** `deploy/web.yaml: error: Deployment/web: MESSAGE` */
function resultText({ message, severity, resourceRef: { kind, name }, file }: KrmResult): string {
  const about = `${severity}: ${kind}/${name}: ${message}\n`
  return file === undefined ? about : `${file.path}: ${about}`
}
