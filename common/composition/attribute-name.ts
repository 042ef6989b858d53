import { CodedError } from '../errors.ts'

/**
 * The volume attributes of this version, by what they say. The names are those of the Go project oras-csi, so that
 * its pods run unchanged.
 */
export const ATTRIBUTES = {
  reference: 'oras.artifact.reference',
  pullPolicy: 'oras.options.pullpolicy',
  pullAlways: 'oras.options.pullalways',
  subPaths: 'oras.options.subpaths',
  concurrency: 'oras.options.concurrency',
  plainHttp: 'oras.options.plainhttp',
  insecure: 'oras.options.insecure',
} as const

/** Attributes that are specified and come in a later version. */
export const LATER_ATTRIBUTES: readonly string[] = [
  'oras.artifact.layers.mediatype',
  'oras.artifact.layers.annotations',
  'oras.artifact.files',
  'oras.artifact.path',
  'oras.artifact.platform',
  'oras.artifact.unpack',
  'oras.artifact.modes',
  'oras.options.writable',
  'oras.sources',
]

/** Makes the error for a wrong value: `Invalid volume attribute "KEY": WHY`. */
export function invalidAttribute(key: string, why: string, options?: ErrorOptions): CodedError {
  return new CodedError('INVALID', `Invalid volume attribute "${key}": ${why}`, options)
}
