import { BlockList, isIP } from 'node:net'
import { CodedError } from '../errors.ts'

/** Which proxy the environment wants for a URL. */
export interface Proxies {
  /** The proxy's URL, which may hold a password; undefined for a direct connection. */
  proxyFor(url: URL): string | undefined
}

/** Every connection is direct. */
export const NO_PROXIES: Proxies = { proxyFor: () => undefined }

/**
 * Reads `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, or the same in lower case, as Go's programs do: loopback is never asked for at a proxy;
 * `NO_PROXY` lists names (`example.com` with those below it, `.example.com` those below it only), addresses, networks (`10.0.0.0/8`), each
 * with a port or without, or is `*`.
 *
 * @throws INVALID for a proxy that is no URL, naming the variable; its value may hold a password
 * @see https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
 */
export function readProxies(env: Environment): Proxies {
  const https = proxyVariable(env, 'HTTPS_PROXY')
  const http = proxyVariable(env, 'HTTP_PROXY')
  const noProxy = variable(env, 'NO_PROXY')
  if (https === undefined && http === undefined) return NO_PROXIES
  const direct = noProxy.split(',').flatMap((entry) => parseEntry(entry.trim().toLowerCase()))
  return {
    proxyFor(url) {
      const proxy = url.protocol === 'https:' ? https : http
      if (proxy === undefined) return undefined
      const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
      const port = url.port || (url.protocol === 'https:' ? '443' : '80')
      if (host === 'localhost' || (isIP(host) !== 0 && isLoopback(host))) return undefined
      return direct.some((matches) => matches(host, port)) ? undefined : proxy
    },
  }
}

/** Writes a proxy's URL without what it may hold of a user and password. */
export function formatProxy(proxy: string): string {
  return new URL(proxy).origin
}

/**
 * Reads the URL of an HTTP proxy; without a scheme it is `http`.
 *
 * @returns undefined for anything else
 */
export function parseProxyUrl(text: string): string | undefined {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') return undefined
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') return undefined
  try {
    // What is not percent-encoded UTF-8 could not be sent.
    decodeURIComponent(url.username + url.password)
  } catch {
    return undefined
  }
  return url.href
}

type Environment = Readonly<Record<string, string | undefined>>

/** The spelling in upper case first, as in Go. */
function variable(env: Environment, name: string): string {
  return env[name] || env[name.toLowerCase()] || ''
}

function proxyVariable(env: Environment, name: string): string | undefined {
  const value = variable(env, name)
  if (value === '') return undefined
  const proxy = parseProxyUrl(value)
  if (proxy !== undefined) return proxy
  throw new CodedError(
    'INVALID',
    `Invalid ${name} in the environment: expected the URL of an HTTP proxy, e.g. "http://proxy.example.com:3128"`,
  )
}

type Matcher = (host: string, port: string) => boolean

/** One entry of NO_PROXY; what is none matches nothing, as in Go. */
function parseEntry(entry: string): readonly Matcher[] {
  if (entry === '') return []
  if (entry === '*') return [() => true]
  const network = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry)
  if (network?.[1] !== undefined && network[2] !== undefined) {
    return networkMatcher(network[1], Number(network[2]))
  }
  const [, name = '', port] =
    /^(\[.*\]|[^:]*|[0-9a-f.:]*:[0-9a-f.:]*:[0-9a-f.:]*)(?::(\d+))?$/.exec(entry) ?? []
  const atPort = (actual: string) => port === undefined || port === actual
  const address = name.replace(/^\[|\]$/g, '')
  if (isIP(address) !== 0) {
    const same = networkMatcher(address, isIP(address) === 4 ? 32 : 128)
    return same.map((matches) => (host, actual) => atPort(actual) && matches(host, actual))
  }
  const domain = name.replace(/^\*?\./, '')
  if (domain === '') return []
  const below = domain !== name
  return [
    (host, actual) =>
      atPort(actual) && ((!below && host === domain) || host.endsWith(`.${domain}`)),
  ]
}

function networkMatcher(net: string, prefix: number): readonly Matcher[] {
  const family = isIP(net)
  if (family === 0 || prefix > (family === 4 ? 32 : 128)) return []
  const list = new BlockList()
  list.addSubnet(net, prefix, family === 4 ? 'ipv4' : 'ipv6')
  return [
    (host) => {
      const kind = isIP(host)
      return kind !== 0 && list.check(host, kind === 4 ? 'ipv4' : 'ipv6')
    },
  ]
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')
}
