/** The key of a docker config entry: which registry and repositories its credentials are for. */
export interface RegistryPattern {
  /** Without scheme and API version, Docker Hub by one name: what the kubelet sorts by, e.g. `*.example.com:5000/team`. */
  readonly key: string
  matches(registry: string, repository: string): boolean
}

/** Names under which Docker Hub appears in references, secrets and on the network. */
const DOCKER_HUB = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/**
 * Reads the key of a docker config entry as the kubelet does: `ghcr.io`, `ghcr.io/acme`, `*.example.com`,
 * `localhost:5000`, `https://index.docker.io/v1/`.
 *
 * It matches a registry with the same port and as many labels, each label matching by glob (`*`, `?`, `[a-z]`), and
 * repositories that begin with its path: `ghcr.io/acme` is for `acme2/app` too, `ghcr.io/acme/` is not. An entry for Docker Hub
 * stands for all names of it.
 *
 * @returns undefined for a key that names no host, or holds a user name: it must not be quoted, a password may stand there too
 * @see https://kubernetes.io/docs/concepts/containers/images/#config-json
 */
export function parseRegistryPattern(text: string): RegistryPattern | undefined {
  const [, hostPort = '', rest = ''] = /^(?:https?:\/\/)?([^/]*)(.*)$/s.exec(text.trim()) ?? []
  if (hostPort === '' || /[\s@]/.test(text.trim())) return undefined
  // Docker takes /v1/ and /v2/ for the registry itself.
  const path = rest.replace(/^\/v[12]\//, '/').slice(1)
  const host = hubName(hostPort)
  const { labels, port } = split(host)
  const globs = labels.map(parseGlob)
  return {
    key: path === '' ? host : `${host}/${path}`,
    matches(registry, repository) {
      const target = split(hubName(registry))
      return (
        port === target.port &&
        globs.length === target.labels.length &&
        globs.every((glob, at) => globMatches(glob, target.labels[at] ?? '')) &&
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
  return { labels: IPV6.test(name) ? [name] : name.split('.'), port }
}

const IPV6 = /^\[[0-9a-f.]*:[0-9a-f:.]*\]$/

/** `*`, or what one character has to be. */
type GlobPart = '*' | ((char: string) => boolean)

/** @returns undefined for what is no pattern of Go's `path.Match`: it matches nothing, as in the kubelet */
function parseGlob(label: string): readonly GlobPart[] | undefined {
  if (IPV6.test(label)) return [...label].map(isChar)
  const parts: GlobPart[] = []
  for (const [token = ''] of label.matchAll(/\[\^?(?:\\.|[^\]\\])+\]|\\.|./gs)) {
    if (token === '*') parts.push('*')
    else if (token === '?') parts.push(() => true)
    else if (token === '[' || token === '\\') return undefined
    else if (token.startsWith('[')) {
      const inClass = parseClass(token)
      if (inClass === undefined) return undefined
      parts.push(inClass)
    } else parts.push(isChar(token.replace(/^\\/, '')))
  }
  return parts
}

function isChar(wanted: string): GlobPart {
  return (char) => char === wanted
}

/** `[abc]`, `[a-z0-9]`, `[^x]`. */
function parseClass(text: string): GlobPart | undefined {
  const [, negated, body = ''] = /^\[(\^?)(.*)\]$/s.exec(text) ?? []
  const ranges: (readonly [low: string, high: string])[] = []
  let read = 0
  for (const [token, low = '', high = low] of body.matchAll(RANGE)) {
    ranges.push([low.replace(/^\\/, ''), high.replace(/^\\/, '')])
    read += token.length
  }
  if (read !== body.length) return undefined
  return (char) => ranges.some(([low, high]) => low <= char && char <= high) === (negated === '')
}

const RANGE = /(\\.|[^-\\\]])(?:-(\\.|[^-\\\]]))?/gs

/** Two positions and no regular expression: a secret's `*a*a*a*` cannot make it slow. */
function globMatches(glob: readonly GlobPart[] | undefined, label: string): boolean {
  if (glob === undefined) return false
  let at = 0
  let globAt = 0
  let star = -1
  let resume = 0
  while (at < label.length) {
    const part = glob[globAt]
    if (part === '*') {
      star = globAt++
      resume = at
    } else if (part?.(label[at] ?? '')) {
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
