/** Where a host is, as its URL in a hosts.toml says. */
export type HostUrl =
  | { readonly kind: 'registry' | 'layout-http'; readonly base: string }
  | { readonly kind: 'layout-directory'; readonly directory: string }

/** What {@link parseHostUrl} takes, for messages. */
export const HOST_URL_EXAMPLES =
  'expected a URL, e.g. "https://registry.example.com", "oci-layout:///srv/artifacts" or "oci-layout+https://files.example.com/artifacts"'

/**
 * Reads the URL of a host as containerd does: without a scheme it is HTTPS, and the API is below `/v2` unless the path ends so or
 * `overridePath` says that it is the API's root. Besides, `oci-layout:///directory` and `oci-layout+https://host/path` (`+http` too) are
 * OCI layouts: files instead of a registry.
 *
 * @returns undefined for what is no such URL, and one with a user, a query or a fragment
 */
export function parseHostUrl(text: string, overridePath: boolean): HostUrl | undefined {
  const [, scheme = 'https', rest = ''] =
    /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text.trim()) ?? []
  const name = scheme.toLowerCase()
  if (name === 'oci-layout') return directoryUrl(rest)
  const layout = name.startsWith('oci-layout+')
  const url = URL.parse(`${layout ? name.slice('oci-layout+'.length) : name}://${rest}`)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') return undefined
  if (url.username !== '' || url.password !== '' || /[?#]/.test(rest)) return undefined
  const path = url.pathname.replace(/\/+$/, '')
  if (layout) return { kind: 'layout-http', base: url.origin + path }
  const whole = overridePath || path.endsWith('/v2')
  return { kind: 'registry', base: url.origin + (whole ? path : `${path}/v2`) }
}

/** A path as it is written, absolute and without a way out: nothing of a URL is decoded. */
function directoryUrl(rest: string): HostUrl | undefined {
  const directory = rest.replace(/(?<=.)\/+$/, '')
  const parts = directory.split('/')
  if (!directory.startsWith('/') || directory.includes('\0') || parts.includes('..')) {
    return undefined
  }
  return { kind: 'layout-directory', directory }
}
