// RFC 1123, as Kubernetes validates names.
const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/
const SUBDOMAIN = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/

export const VOLUME_NAME_PREFIX = 'oras-'

/** A volume's name is a DNS label. */
export const MAX_VOLUME_NAME_LENGTH = 63

const MAX_NAME_LENGTH = MAX_VOLUME_NAME_LENGTH - VOLUME_NAME_PREFIX.length

/** Says what is wrong with an entry's name, which becomes `oras-NAME`; undefined for a good one. */
export function entryNameProblem(text: string): string | undefined {
  const shown = JSON.stringify(text.slice(0, 200))
  if (!LABEL.test(text)) {
    return `found ${shown}; expected lowercase letters, digits and "-", e.g. "app"`
  }
  if (text.length <= MAX_NAME_LENGTH) return undefined
  return `found ${text.length} characters; expected at most ${MAX_NAME_LENGTH}`
}

/** Says what is wrong with the name of a secret; undefined for a good one. */
export function secretNameProblem(text: string): string | undefined {
  if (SUBDOMAIN.test(text) && text.length <= 253) return undefined
  return `found ${JSON.stringify(text.slice(0, 200))}; expected the name of a secret in the pod's namespace, e.g. "acme-pull"`
}
