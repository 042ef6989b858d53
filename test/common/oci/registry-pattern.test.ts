import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRegistryPattern } from '../../../common/oci/registry-pattern.ts'

function matches(pattern: string, image: string): boolean | undefined {
  const [registry = '', ...repository] = image.split('/')
  return parseRegistryPattern(pattern)?.matches(registry, repository.join('/'))
}

// The cases of the kubelet's own tests: pkg/credentialprovider/keyring_test.go, told anew.
describe('matches as the kubelet', () => {
  test.each([
    // Without a path.
    ['*.kubernetes.io', 'prefix.kubernetes.io/a'],
    ['prefix.*.io', 'prefix.kubernetes.io/a'],
    ['prefix.kubernetes.*', 'prefix.kubernetes.io/a'],
    ['*-good.kubernetes.io', 'prefix-good.kubernetes.io/a'],
    // With a path.
    ['*.kubernetes.io/blah', 'prefix.kubernetes.io/blah'],
    ['prefix.*.io/foo', 'prefix.kubernetes.io/foo/bar'],
    // With path and port.
    ['*.kubernetes.io:1111/blah', 'prefix.kubernetes.io:1111/blah'],
    ['prefix.*.io:1111/foo', 'prefix.kubernetes.io:1111/foo/bar'],
    // With a scheme, as docker writes it.
    ['https://hello.kubernetes.io', 'hello.kubernetes.io/foo/bar'],
    ['https://*.docker.io', 'prefix.docker.io/foo/bar'],
    ['https://prefix.*.io', 'prefix.docker.io/foo/bar'],
    ['https://prefix.docker.*', 'prefix.docker.io/foo/bar'],
    ['https://*.docker.io/path', 'prefix.docker.io/path/foo/bar'],
    ['https://prefix.*.io/path', 'prefix.docker.io/path/subpath/foo/bar'],
    ['https://prefix.docker.*/path', 'prefix.docker.io/path/foo/bar'],
    ['https://*.docker.io:8888', 'prefix.docker.io:8888/foo/bar'],
    ['https://prefix.*.io:8888', 'prefix.docker.io:8888/foo/bar'],
    ['https://prefix.docker.*:8888', 'prefix.docker.io:8888/foo/bar'],
    ['https://*.docker.io/path:1111', 'prefix.docker.io/path:1111/foo/bar'],
    ['https://*.docker.io/v1/', 'prefix.docker.io/path:1111/foo/bar'],
    ['https://*.docker.io/v2/', 'prefix.docker.io/path:1111/foo/bar'],
    ['https://prefix.docker.*/path:1111', 'prefix.docker.io/path:1111/foo/bar'],
    ['prefix.docker.io:1111', 'prefix.docker.io:1111/path/foo/bar'],
    ['*.docker.io:1111', 'prefix.docker.io:1111/path/foo/bar'],
    // Docker Hub by its names.
    ['https://index.docker.io/v1/', 'docker.io/google/docker-registry'],
    ['https://index.docker.io/v1/', 'docker.io/library/jenkins'],
    ['https://index.docker.io/v1/', 'index.docker.io/google/docker-registry'],
    // Go's path.Match.
    ['reg[0-9].example.com', 'reg7.example.com/a'],
    ['reg[^ab].example.com', 'regc.example.com/a'],
    ['reg[ax-z].example.com', 'regy.example.com/a'],
    ['r?g.example.com', 'rag.example.com/a'],
    ['r\\eg.example.com', 'reg.example.com/a'],
    ['Ghcr.IO/acme', 'ghcr.io/acme/app'],
    ['ghcr.io/acme', 'ghcr.io/acme2/app'],
    ['[::1]:5000', '[::1]:5000/a'],
  ])('%s is for %s', (pattern, image) => {
    expect(matches(pattern, image)).toBe(true)
  })

  test.each([
    // Another number of labels.
    ['*.kubernetes.io', 'kubernetes.io/a'],
    ['*.*.kubernetes.io', 'prefix.kubernetes.io/a'],
    ['*.*.kubernetes.io', 'kubernetes.io/a'],
    // A host of an attacker whose name begins as theirs.
    ['ghcr.io', 'ghcr.io.evil.example/a'],
    ['ghcr.*', 'ghcr.io.evil.example/a'],
    // Other labels.
    ['kubernetes.io', 'kubernetes.com/a'],
    ['k*.io', 'quay.io/a'],
    ['https://hello.kubernetes.io', 'world.mesos.org/foo/bar'],
    ['https://*.docker.com', 'prefix.docker.io/foo/bar'],
    ['https://suffix.*.io', 'prefix.docker.io/foo/bar'],
    ['https://prefix.docker.c*', 'prefix.docker.io/foo/bar'],
    ['suffix.*.io', 'prefix.docker.io/foo/bar'],
    // Other ports.
    ['*.kubernetes.io:1234/blah', 'prefix.kubernetes.io:1111/blah'],
    ['prefix.*.io/foo', 'prefix.kubernetes.io:1111/foo/bar'],
    // Another path.
    ['https://prefix.*.io/path:1111', 'prefix.docker.io/path/subpath:1111/foo/bar'],
    ['ghcr.io/acme/', 'ghcr.io/acme2/app'],
    ['ghcr.io/v2', 'ghcr.io/acme/app'],
    // Docker Hub only where it is meant.
    ['https://index.docker.io/v1/', 'world.mesos.org/foo/bar'],
    ['https://index.docker.io/v1/', 'myhostdocker.io/foo/bar'],
    // No pattern at all, to Go.
    ['reg[.example.com', 'reg[.example.com/a'],
    ['reg[].example.com', 'reg].example.com/a'],
    ['reg[a-].example.com', 'rega.example.com/a'],
    ['reg[^0-9].example.com', 'reg7.example.com/a'],
  ])('%s is not for %s', (pattern, image) => {
    expect(matches(pattern, image)).toBe(false)
  })
})

test.each(['', 'https://', 'https:///x', 'user:password@ghcr.io', 'two words', 'ghcr.io/a b'])(
  '%j names no registry',
  (text) => {
    expect(parseRegistryPattern(text)).toBe(undefined)
  },
)

test.each([
  ['https://ghcr.io/v2/acme', 'ghcr.io/acme'],
  ['https://ghcr.io/v2/', 'ghcr.io'],
  ['GHCR.io/Acme', 'ghcr.io/Acme'],
  ['https://index.docker.io/v1/', 'docker.io'],
  ['registry-1.docker.io/acme', 'docker.io/acme'],
])('%s is sorted as %s', (text, key) => {
  expect(parseRegistryPattern(text)?.key).toBe(key)
})

test('any text is a pattern or none, and matching ends', () => {
  const label = fc.string({ unit: fc.constantFrom(...'a*?[]^-\\.1:/'), maxLength: 40 })
  fc.assert(
    fc.property(label, fc.stringMatching(/^[a-z1.]{1,40}$/), (text, registry) => {
      expect([true, false, undefined]).toContain(
        parseRegistryPattern(text)?.matches(registry, 'app'),
      )
    }),
  )
})
