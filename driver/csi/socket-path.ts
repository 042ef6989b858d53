import { CodedError } from '../../common/errors.ts'

/**
 * Reads a CSI endpoint: a path, or `unix:///path` as CSI_ENDPOINT has it.
 *
 * @throws INVALID when it is no absolute path of a unix socket
 */
export function socketPath(endpoint: string): string {
  const path = endpoint.replace(/^unix:(?:\/\/)?/, '')
  if (path.startsWith('/')) return path
  throw new CodedError(
    'INVALID',
    `Invalid CSI endpoint "${endpoint}": expected an absolute path, e.g. "unix:///csi/csi.sock"`,
  )
}
