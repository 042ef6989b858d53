/** A registry's host and port, one spelling for all that name the same. */
export interface RegistryName {
  /** Lower case; addresses in their shortest form. */
  readonly host: string
  /** Without leading zeros; empty for 443, which is where a registry without a port is. */
  readonly port: string
}

/** Names of Docker Hub that serve the same repositories. @see https://github.com/distribution/reference */
const DOCKER_HUB = [
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
]

/**
 * Reads the registry of a reference so that all spellings of one compare equal.
 *
 * The attacks: `GHCR.io`, `ghcr.io:443`, `ghcr.io:0443`, `index.docker.io`, `10.1` for `10.0.0.1`, `[0:0::1]`, `[::ffff:a00:1]`: each would
 * get round a rule that names the registry as everybody does.
 */
export function registryName(registry: string): RegistryName {
  const { host, port } = splitPort(registry)
  return { host: canonicalHost(host), port: canonicalPort(port ?? '') }
}

/** Splits `HOST[:PORT]`; the host of an IPv6 address keeps its brackets. */
export function splitPort(registry: string): { host: string; port: string | undefined } {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(registry)
  return { host: match?.[1] ?? registry, port: match?.[2] }
}

export function canonicalPort(port: string): string {
  const number = port.replace(/^0+/, '')
  return number === '443' ? '' : number
}

export function canonicalHost(host: string): string {
  const lower = host.toLowerCase()
  // What a URL makes of it is what will be connected to.
  const url = URL.parse(`https://${lower}/`)
  const name = mappedAddress(url?.hostname ?? lower)
  return DOCKER_HUB.includes(name) ? 'docker.io' : name
}

/** IPv4 addresses are also IPv6 addresses; the URL parser writes them as `[::ffff:a00:1]`. */
function mappedAddress(host: string): string {
  const match = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(host)
  if (match === null) return host
  const [high, low] = [match[1], match[2]].map((group) => Number.parseInt(group ?? '0', 16))
  return [high, low].flatMap((group = 0) => [group >> 8, group & 255]).join('.')
}
