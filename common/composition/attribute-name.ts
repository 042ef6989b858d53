import { CodedError } from '../errors.ts'

/**
 * The volume attributes of this version, by what they say. The names are those of the Go project oras-csi, so that
 * its pods run unchanged.
 */
export const ATTRIBUTES = {
  reference: 'oras.artifact.reference',
  mediaTypes: 'oras.artifact.layers.mediatype',
  annotations: 'oras.artifact.layers.annotations',
  files: 'oras.artifact.files',
  path: 'oras.artifact.path',
  platform: 'oras.artifact.platform',
  unpack: 'oras.artifact.unpack',
  modes: 'oras.artifact.modes',
  pullPolicy: 'oras.options.pullpolicy',
  pullAlways: 'oras.options.pullalways',
  subPaths: 'oras.options.subpaths',
  writable: 'oras.options.writable',
  concurrency: 'oras.options.concurrency',
  plainHttp: 'oras.options.plainhttp',
  insecure: 'oras.options.insecure',
  sources: 'oras.sources',
} as const

/** Makes the error for a wrong value: `Invalid volume attribute "KEY": WHY`. */
export function invalidAttribute(key: string, why: string, options?: ErrorOptions): CodedError {
  return new CodedError('INVALID', `Invalid volume attribute "${key}": ${why}`, options)
}
