import { type JsonObject, objectAt, textAt } from '../webhook/json.ts'
import { pathText } from './manifest-review.ts'
import type { ObjectFinding } from './object-review.ts'

/**
 * What a KRM function says of an item.
 *
 * @see https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md
 */
export interface KrmResult {
  readonly message: string
  readonly severity: 'error' | 'warning'
  readonly resourceRef: {
    readonly apiVersion: string
    readonly kind: string
    readonly name: string
    readonly namespace?: string
  }
  readonly field: { readonly path: string }
  /** Where the item came from, if whoever runs functions says so. */
  readonly file?: { readonly path: string; readonly index?: number }
}

/** The newer name of an annotation first. */
const PREFIXES = ['internal.config.kubernetes.io/', 'config.kubernetes.io/']

/** Writes a finding about an item of a ResourceList as a result. */
export function krmResult(item: JsonObject, finding: ObjectFinding): KrmResult {
  const metadata = objectAt(item, 'metadata')
  const namespace = textAt(metadata, 'namespace')
  const { position } = finding
  const place = position === undefined ? '' : ` (line ${position.line}, column ${position.column})`
  const file = fileOf(metadata)
  return {
    message: finding.message + place,
    severity: finding.severity,
    resourceRef: {
      apiVersion: textAt(item, 'apiVersion') ?? '',
      kind: textAt(item, 'kind') ?? '',
      name: textAt(metadata, 'name') ?? '',
      ...(namespace !== undefined && { namespace }),
    },
    field: { path: pathText(finding.path) },
    ...(file !== undefined && { file }),
  }
}

function fileOf(metadata: JsonObject | undefined): KrmResult['file'] {
  const annotations = objectAt(metadata, 'annotations')
  const [path, index] = ['path', 'index'].map((name) =>
    PREFIXES.map((prefix) => textAt(annotations, prefix + name)).find((one) => one !== undefined),
  )
  if (path === undefined) return undefined
  return { path, ...(index !== undefined && /^[0-9]+$/.test(index) && { index: Number(index) }) }
}
