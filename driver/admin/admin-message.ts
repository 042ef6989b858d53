import { CodedError, type ErrorCode } from '../../common/errors.ts'
import {
  asArray,
  asObject,
  asSize,
  asString,
  type JsonNode,
  jsonFault,
  parseJson,
  requiredField,
} from '../../common/json.ts'

/** The name of the socket, in the directory that the driver is told to keep its store in. */
export const ADMIN_SOCKET = 'admin.sock'

/** Where each thing is asked for; the bodies of requests and answers are JSON. */
export const ADMIN_PATHS = { prune: '/v1/prune', quarantine: '/v1/quarantine' } as const

/** The largest body that is read: a prune of a hundred thousand items answers with as many lines. */
export const MAX_ADMIN_BYTES = 64 * 1024 ** 2

export interface PruneRequest {
  /** Milliseconds since the epoch: what was used since stays. */
  readonly usedBefore: number
  readonly isDryRun: boolean
}

/** What went, or would. */
export interface PruneAnswer {
  readonly pruned: readonly PrunedItem[]
}

export interface PrunedItem {
  readonly kind: PrunedKind
  /** Of a blob its digest, of a download its file. */
  readonly key: string
  /** What it has alone. */
  readonly bytes: number
}

const PRUNED_KINDS = ['tree', 'view', 'blob', 'ingest'] as const
type PrunedKind = (typeof PRUNED_KINDS)[number]

/** Something that was found damaged: a tree or view by key, a blob by digest. */
export interface QuarantineRequest {
  readonly kind: QuarantinedKind
  readonly key: string
}

const QUARANTINED_KINDS = ['tree', 'view', 'blob'] as const
export type QuarantinedKind = (typeof QUARANTINED_KINDS)[number]

export interface QuarantineAnswer {
  /** False when it was not there any more. */
  readonly wasThere: boolean
}

/** @throws INVALID */
export function parsePruneRequest(body: Uint8Array): PruneRequest {
  const request = asObject(parseBody(body, 'request'))
  return {
    usedBefore: asSize(requiredField(request, 'usedBefore')),
    isDryRun: asFlag(requiredField(request, 'isDryRun')),
  }
}

/** @throws INVALID */
export function parsePruneAnswer(body: Uint8Array): PruneAnswer {
  const answer = asObject(parseBody(body, 'answer'))
  const items = asArray(requiredField(answer, 'pruned'), MAX_VALUES)
  return {
    pruned: items.map((node) => {
      const item = asObject(node)
      return {
        kind: asOneOf(requiredField(item, 'kind'), PRUNED_KINDS),
        key: asString(requiredField(item, 'key')),
        bytes: asSize(requiredField(item, 'bytes')),
      }
    }),
  }
}

/** @throws INVALID */
export function parseQuarantineRequest(body: Uint8Array): QuarantineRequest {
  const request = asObject(parseBody(body, 'request'))
  return {
    kind: asOneOf(requiredField(request, 'kind'), QUARANTINED_KINDS),
    key: asString(requiredField(request, 'key')),
  }
}

/** @throws INVALID */
export function parseQuarantineAnswer(body: Uint8Array): QuarantineAnswer {
  const answer = asObject(parseBody(body, 'answer'))
  return { wasThere: asFlag(requiredField(answer, 'wasThere')) }
}

/** Writes an error as a body: `{"code":"INVALID","message":"..."}`. */
export function errorBody({ code, message }: CodedError): string {
  return JSON.stringify({ code, message })
}

/** Reads what {@link errorBody} wrote. @throws INVALID when it is something else */
export function parseErrorBody(body: Uint8Array): CodedError {
  const answer = asObject(parseBody(body, 'answer'))
  const code = asOneOf(requiredField(answer, 'code'), CODES)
  return new CodedError(code, asString(requiredField(answer, 'message')))
}

const CODES = [
  ...['INVALID', 'NOT_FOUND', 'UNAUTHENTICATED', 'DENIED', 'CONFLICT'],
  ...['PENDING', 'UNAVAILABLE', 'EXHAUSTED', 'CORRUPT', 'INTERNAL'],
] as readonly ErrorCode[]

const MAX_VALUES = 4_000_000

function parseBody(body: Uint8Array, name: string): JsonNode {
  return parseJson(body, {
    ...{ name, code: 'INVALID', maxBytes: MAX_ADMIN_BYTES },
    maxValues: MAX_VALUES,
  })
}

function asFlag(node: JsonNode): boolean {
  if (typeof node.value === 'boolean') return node.value
  throw jsonFault(node, 'expected true or false')
}

function asOneOf<const T extends string>(node: JsonNode, words: readonly T[]): T {
  const found = words.find((word) => word === node.value)
  if (found === undefined) throw jsonFault(node, `expected one of ${words.join(', ')}`)
  return found
}
