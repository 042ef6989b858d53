import { describe, expect, test } from 'vitest'
import type { Reach } from '../../../common/oci/address.ts'
import type { Endpoint } from '../../../common/oci/hosts.ts'
import { reachTowards, tlsTowards } from '../../../common/oci/redirect.ts'

function endpoint(configured: boolean): Endpoint {
  return {
    base: 'https://reg.example.com/v2',
    tls: { ca: ['PEM'], verify: false },
    configured,
    headers: {},
    dialTimeoutMs: 1000,
  }
}

// GHSA-xf85-363p-868w: a public registry's redirects and token realms lead into private networks.
describe('how far inside a registry may lead', () => {
  test.each<[boolean, Reach | undefined, Reach, Reach]>([
    [false, 'public', 'private', 'public'],
    [false, 'private', 'private', 'private'],
    [false, undefined, 'private', 'public'],
    [false, 'link', 'private', 'local'],
    [true, 'public', 'link', 'private'],
    [true, 'private', 'link', 'private'],
    [true, 'local', 'link', 'local'],
    [true, 'link', 'link', 'local'],
  ])(
    'configured %s, last seen at a %s address: itself %s, others %s',
    (configured, last, own, others) => {
      const transport = {
        lastReach: (host: string) => (host === 'reg.example.com' ? last : 'local'),
      }
      const to = (url: string) => reachTowards(endpoint(configured), new URL(url), transport)
      expect([
        to('https://reg.example.com/x'),
        to('https://cdn.example.com/x'),
        to('https://reg.example.com:8443/x'),
      ]).toStrictEqual([own, others, others])
    },
  )
})

test('skip_verify is for its own host, and not for another port of it; the authority is for every host it leads to', () => {
  const to = (url: string) => tlsTowards(endpoint(true), new URL(url))
  expect([
    to('https://reg.example.com/token'),
    to('https://reg.example.com:8443/token'),
    to('https://auth.example.com/token'),
  ]).toStrictEqual([
    { ca: ['PEM'], verify: false },
    { ca: ['PEM'], verify: true },
    { ca: ['PEM'], verify: true },
  ])
})

test('where the admin forbids private networks, a registry that is not configured is on the internet', () => {
  const strict = { ...endpoint(false), publicOnly: true }
  const transport = { lastReach: () => undefined }
  expect(reachTowards(strict, new URL('https://reg.example.com/x'), transport)).toBe('public')
})
