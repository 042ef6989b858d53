/** The key of a docker config entry: which registry and repositories its credentials are for. */
export interface RegistryPattern {
  /** Without scheme and API version, e.g. `*.example.com:5000/team`. */
  readonly key: string
  matches(registry: string, repository: string): boolean
}

/** Names under which Docker Hub appears in references, secrets and on the network. */
const DOCKER_HUB = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/**
 * Reads the key of a docker config entry as the kubelet does: `ghcr.io`, `ghcr.io/acme`, `*.example.com`,
 * `localhost:5000`, `https://index.docker.io/v1/`.
 *
 * It matches a registry with the same port and as many labels, each label matching by glob (`*`, `?`), and
 * repositories that begin with its path. An entry for Docker Hub stands for all names of it.
 *
 * @returns undefined for a key that names no host
 * @see https://kubernetes.io/docs/concepts/containers/images/#config-json
 */
export function parseRegistryPattern(text: string): RegistryPattern | undefined {
  const [hostPort = '', ...segments] = text
    .trim()
    .replace(/^https?:\/\//, '')
    .split('/')
  if (hostPort === '' || /[\s@]/.test(hostPort)) return undefined
  // Docker takes /v1/ and /v2/ for the registry itself.
  if (segments[0] === 'v1' || segments[0] === 'v2') segments.shift()
  const path = segments.join('/')
  const { labels, port } = split(hubName(hostPort))
  return {
    key: path === '' ? hostPort : `${hostPort}/${path}`,
    matches(registry, repository) {
      const target = split(hubName(registry))
      return (
        port === target.port &&
        labels.length === target.labels.length &&
        labels.every((glob, at) => labelMatches(glob, target.labels[at] ?? '')) &&
        repository.startsWith(path)
      )
    },
  }
}

function hubName(host: string): string {
  return DOCKER_HUB.includes(host.toLowerCase()) ? 'docker.io' : host.toLowerCase()
}

function split(host: string): { labels: readonly string[]; port: string } {
  const port = /:(\d+)$/.exec(host)?.[1] ?? ''
  const name = port === '' ? host : host.slice(0, -port.length - 1)
  // An IPv6 address is one label.
  return { labels: name.startsWith('[') ? [name] : name.split('.'), port }
}

/**
 * Matches one label, `*` for any characters and `?` for one. Two positions and no regular expression: a secret's `*a*a*a*`
 * cannot make it slow.
 */
function labelMatches(glob: string, label: string): boolean {
  if (glob.startsWith('[')) return glob === label
  let at = 0
  let globAt = 0
  let star = -1
  let resume = 0
  while (at < label.length) {
    if (globAt < glob.length && glob[globAt] === '*') {
      star = globAt++
      resume = at
    } else if (globAt < glob.length && (glob[globAt] === '?' || glob[globAt] === label[at])) {
      globAt++
      at++
    } else if (star >= 0) {
      globAt = star + 1
      at = ++resume
    } else {
      return false
    }
  }
  while (glob[globAt] === '*') globAt++
  return globAt === glob.length
}
