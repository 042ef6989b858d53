import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatProxy, parseProxyUrl, readProxies } from '../../../common/oci/proxy.ts'

const PROXY = 'http://proxy.example.com:3128/'

describe('NO_PROXY', () => {
  test.each([
    ['', 'https://ghcr.io/', true],
    ['*', 'https://ghcr.io/', false],
    ['ghcr.io', 'https://ghcr.io/', false],
    ['ghcr.io', 'https://pkg.ghcr.io/', false],
    ['ghcr.io', 'https://notghcr.io/', true],
    ['.ghcr.io', 'https://ghcr.io/', true],
    ['.ghcr.io', 'https://pkg.ghcr.io/', false],
    ['*.ghcr.io', 'https://pkg.ghcr.io/', false],
    ['*.ghcr.io', 'https://ghcr.io/', true],
    ['GHCR.IO', 'https://ghcr.io/', false],
    ['ghcr.io', 'https://ghcr.io./', false],
    ['a.example.com, ghcr.io', 'https://ghcr.io/', false],
    ['ghcr.io:443', 'https://ghcr.io/', false],
    ['ghcr.io:8443', 'https://ghcr.io/', true],
    ['ghcr.io:8443', 'https://ghcr.io:8443/', false],
    ['10.0.0.0/8', 'https://10.1.2.3/', false],
    ['10.0.0.0/8', 'https://11.1.2.3/', true],
    ['10.0.0.0/8', 'https://ghcr.io/', true],
    ['10.1.2.3', 'https://10.1.2.3:5000/', false],
    ['10.1.2.3:5000', 'https://10.1.2.3:5000/', false],
    ['10.1.2.3:5000', 'https://10.1.2.3/', true],
    ['fd00::/8', 'https://[fd12::1]/', false],
    ['fd12::1', 'https://[fd12::1]:5000/', false],
    ['[fd12::1]:5000', 'https://[fd12::1]:5000/', false],
    ['[fd12::1]:5000', 'https://[fd12::1]/', true],
    ['10.0.0.0/99', 'https://10.1.2.3/', true],
    ['', 'https://localhost:5000/', false],
    ['', 'https://127.9.9.9/', false],
    ['', 'https://[::1]/', false],
  ])('%j: %s goes through the proxy: %s', (noProxy, url, through) => {
    const proxies = readProxies({ HTTPS_PROXY: PROXY, NO_PROXY: noProxy })
    expect(proxies.proxyFor(new URL(url))).toBe(through ? PROXY : undefined)
  })

  test('whatever stands there is read without an error', () => {
    fc.assert(
      fc.property(fc.string(), fc.webUrl(), (noProxy, url) => {
        const found = readProxies({ https_proxy: PROXY, no_proxy: noProxy }).proxyFor(new URL(url))
        expect([PROXY, undefined]).toContain(found)
      }),
    )
  })
})

test.each([
  [{ https_proxy: 'proxy.example.com:3128' }, PROXY, undefined],
  [{ HTTPS_PROXY: '', https_proxy: PROXY }, PROXY, undefined],
  [{ HTTPS_PROXY: PROXY, https_proxy: 'http://other' }, PROXY, undefined],
  [{ http_proxy: PROXY }, undefined, PROXY],
  [
    { HTTP_PROXY: PROXY, HTTPS_PROXY: 'https://tls.example.com' },
    'https://tls.example.com/',
    PROXY,
  ],
  [{}, undefined, undefined],
])('%j', (env, https, http) => {
  const proxies = readProxies(env)
  expect([
    proxies.proxyFor(new URL('https://ghcr.io')),
    proxies.proxyFor(new URL('http://ghcr.io')),
  ]).toStrictEqual([https, http])
})

test.each(['socks5://x', 'http://', 'http://x/path', 'http://x?a', 'http://%ff@x', '::'])(
  'no proxy: %j',
  (value) => {
    expect(parseProxyUrl(value)).toBeUndefined()
    expect(() => readProxies({ HTTPS_PROXY: value })).toThrow(
      'Invalid HTTPS_PROXY in the environment: expected the URL of an HTTP proxy, e.g. "http://proxy.example.com:3128"',
    )
  },
)

test('a proxy is shown without its user and password', () => {
  expect(formatProxy('http://user:secret@proxy.example.com:3128')).toBe(
    'http://proxy.example.com:3128',
  )
})
