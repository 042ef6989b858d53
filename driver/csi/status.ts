import { status } from '@grpc/grpc-js'
import type { ErrorCode } from '../../common/errors.ts'

/**
 * What each error is on the wire. The kubelet keeps the mount directory, and calls Unpublish later, after ABORTED, UNAVAILABLE and
 * RESOURCE_EXHAUSTED; after the others it forgets the volume, so publish has undone everything by then.
 */
export const GRPC_STATUS = {
  INVALID: status.INVALID_ARGUMENT,
  NOT_FOUND: status.NOT_FOUND,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  DENIED: status.PERMISSION_DENIED,
  CONFLICT: status.ALREADY_EXISTS,
  PENDING: status.ABORTED,
  UNAVAILABLE: status.UNAVAILABLE,
  EXHAUSTED: status.RESOURCE_EXHAUSTED,
  CORRUPT: status.DATA_LOSS,
  INTERNAL: status.INTERNAL,
} satisfies Record<ErrorCode, status>
