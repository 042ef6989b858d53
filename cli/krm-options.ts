import { stringify } from 'yaml'
import { CodedError } from '../common/errors.ts'
import { parsePolicy } from '../common/policy/parse-policy.ts'
import { didYouMean } from '../common/suggest.ts'
import { isJsonObject, type JsonObject, objectAt, textAt } from '../webhook/json.ts'
import { policyOfFile } from './manifest-review.ts'
import type { ReviewContext } from './object-review.ts'

/** What a functionConfig asks for. */
export interface KrmOptions {
  readonly context: ReviewContext
  /** Warnings fail, too. */
  readonly strict: boolean
  /** Only results; nothing is composed. */
  readonly lintOnly: boolean
}

const NAMES = ['strict', 'lintOnly', 'policy', 'namespace']

/**
 * Reads the functionConfig of a ResourceList: the `data` of a ConfigMap, as kpt makes it of a command line, or the `spec` of any other kind.
 *
 * ```yaml
 * apiVersion: csi.oras.land/v1alpha1
 * kind: Composition
 * metadata: {name: oras-csi}
 * spec:                # all of it may be left out
 *   strict: true       # warnings fail, too
 *   lintOnly: false    # true: only results, nothing is composed
 *   namespace: shop    # for the policy: of objects that name none
 *   policy: {...}      # the admin's policy, as an object or as text
 * ```
 *
 * @throws INVALID naming the field, and the nearest there is
 */
export function readKrmOptions(config: JsonObject | undefined): KrmOptions {
  const field = textAt(config, 'kind') === 'ConfigMap' ? 'data' : 'spec'
  const fields = objectAt(config, field) ?? {}
  for (const name of Object.keys(fields)) {
    if (NAMES.includes(name)) continue
    throw new CodedError(
      'INVALID',
      `Invalid functionConfig.${field}: unknown field "${name}"${didYouMean(name, NAMES) || `; expected one of ${NAMES.join(', ')}`}`,
    )
  }
  const { policy, namespace } = fields
  if (namespace !== undefined && typeof namespace !== 'string') {
    throw new CodedError('INVALID', `Invalid functionConfig.${field}.namespace: expected text`)
  }
  return {
    context: {
      ...(policy !== undefined && { policy: policyOfFile(parsePolicy(policyText(policy, field))) }),
      ...(namespace !== undefined && { namespace }),
    },
    strict: readFlag(fields, field, 'strict'),
    lintOnly: readFlag(fields, field, 'lintOnly'),
  }
}

function policyText(policy: unknown, field: string): string {
  if (typeof policy === 'string') return policy
  if (isJsonObject(policy)) return stringify(policy)
  throw new CodedError(
    'INVALID',
    `Invalid functionConfig.${field}.policy: expected a policy, as an object or as text`,
  )
}

/** A ConfigMap has texts only. */
function readFlag(fields: JsonObject, field: string, name: string): boolean {
  const value = fields[name] ?? false
  if (value === true || value === 'true') return true
  if (value === false || value === 'false') return false
  throw new CodedError('INVALID', `Invalid functionConfig.${field}.${name}: expected true or false`)
}
