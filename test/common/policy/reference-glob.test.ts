import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseReference } from '../../../common/oci/reference.ts'
import type { PolicyEffect } from '../../../common/policy/policy.ts'
import {
  globTarget,
  matchesGlob,
  parseReferenceGlob,
} from '../../../common/policy/reference-glob.ts'

function matches(glob: string, reference: string, effect: PolicyEffect = 'allow'): boolean {
  const found = parseReferenceGlob(glob)
  if ('problem' in found) throw new Error(found.problem)
  return matchesGlob(found.glob, globTarget(parseReference(reference)), effect)
}

describe('a glob for references', () => {
  test.each<[string, string, boolean]>([
    ['ghcr.io/acme/*', 'ghcr.io/acme/a:v1', true],
    ['ghcr.io/acme/*', 'ghcr.io/acme/a/b:v1', true],
    ['ghcr.io/acme/**', 'ghcr.io/acme/a/b:v1', true],
    ['ghcr.io/acme/a', 'ghcr.io/acme/a:v1', true],
    ['ghcr.io/acme/a', 'ghcr.io/acme/a/b', false],
    ['ghcr.io/acme/*', 'ghcr.io/acme', false],
    ['ghcr.io/*', 'ghcr.io/a', true],
    ['ghcr.io/*-tools', 'ghcr.io/acme/x-tools', true],
    ['*.acme.example/*', 'eu.acme.example/a', true],
    ['*.acme.example/*', 'a.b.acme.example/a', true],
    ['*.acme.example/*', 'acme.example/a', false],
    ['registry.*.acme.example/*', 'registry.eu.acme.example/a', true],
    ['*.internal/*', 'registry.internal/a', true],
    ['acme.example:5000/*', 'acme.example:5000/a', true],
    ['acme.example:5000/*', 'acme.example/a', false],
    ['acme.example:5000/*', 'acme.example:5001/a', false],
    ['acme.example:*/*', 'acme.example:5001/a', true],
    ['acme.example:*/*', 'acme.example/a', true],
    ['*/mirror/*', 'localhost:5000/mirror/a', true],
    ['*:5000/*', 'localhost:5000/a', true],
    ['*:5000/*', 'localhost:5001/a', false],
    ['acme/app', 'acme/app:1', true],
    ['[::1]:5000/*', '[::1]:5000/a', true],
  ])('%s and %s: %s', (glob, reference, expected) => {
    expect(matches(glob, reference)).toBe(expected)
    expect(matches(glob, reference.replace(/:v?1$/, ''))).toBe(expected)
  })

  test.each<[string, string, string]>([
    ['a repository that begins alike', 'ghcr.io/acme/*', 'ghcr.io/acme-evil/x'],
    ['a host that begins alike', 'ghcr.io/acme/*', 'ghcr.io.evil.com/acme/x'],
    ['a host that ends alike', 'ghcr.io/acme/*', 'evilghcr.io/acme/x'],
    ['a host below', 'ghcr.io/acme/*', 'acme.ghcr.io/acme/x'],
    ['a host as a repository', 'ghcr.io/acme/*', 'evil.com/ghcr.io/acme/x'],
    ['the host of a glob in a repository', '*.acme.example/*', 'evil.com/x.acme.example/y'],
    ['a dot that is any character', 'ghcr.io/acme/*', 'ghcrxio/acme/x'],
    ['another port of the host', 'ghcr.io/acme/*', 'ghcr.io:5000/acme/x'],
    ['the port for plain HTTP', 'ghcr.io/acme/*', 'ghcr.io:80/acme/x'],
    ['a host that ends like a glob', '*.acme.example/*', 'evilacme.example/x'],
    ['a host below what a glob ends with', '*.acme.example/*', 'x.acme.example.evil.com/x'],
  ])('is not got past with %s: %s does not match %s', (_attack, glob, reference) => {
    expect(matches(glob, reference)).toBe(false)
  })

  test.each<[string, string, string]>([
    ['capitals', 'docker.io/*', 'DOCKER.io/library/x'],
    ['the port of https', 'docker.io/*', 'docker.io:443/library/x'],
    ['zeros before the port', 'docker.io/*', 'docker.io:0443/library/x'],
    ['another name of Docker Hub', 'docker.io/*', 'index.docker.io/library/x'],
    ['the name that serves Docker Hub', 'docker.io/*', 'Registry-1.docker.io:443/library/x'],
    ['the old name of Docker Hub', 'docker.io/*', 'registry.hub.docker.com/library/x'],
    ['its usual name where a rule has another', 'index.docker.io/*', 'docker.io/library/x'],
    ['a name below that is an alias', '*.docker.io/*', 'index.docker.io/library/x'],
    ['any other port', 'docker.io/*', 'docker.io:5000/library/x'],
    ['the port for plain HTTP', 'docker.io/*', 'docker.io:80/library/x'],
    ['a repository deeper down', 'docker.io/*', 'docker.io/a/b/c/d'],
    ['a short address', '10.0.0.1/*', '10.1/x'],
    ['a hexadecimal address', '10.0.0.1/*', '0x0a.0.0.1/x'],
    ['an address as a number', '10.0.0.1/*', '167772161/x'],
    ['an IPv6 address for an IPv4 one', '10.0.0.1/*', '[::ffff:a00:1]/x'],
    ['a long IPv6 address', '[::1]/*', '[0:0:0:0:0:0:0:1]/x'],
  ])('of a rule that denies is not escaped with %s: %s matches %s', (_attack, glob, reference) => {
    expect(matches(glob, reference, 'deny')).toBe(true)
  })

  test('of a rule that denies may name the port of https alone', () => {
    expect(matches('acme.example:443/*', 'acme.example/x', 'deny')).toBe(true)
    expect(matches('acme.example:443/*', 'acme.example:5000/x', 'deny')).toBe(false)
  })

  test.each<[string, string]>([
    ['*', 'has no "/"; leave "references" out to mean every reference'],
    ['ghcr.io', 'has no repository; expected e.g. "ghcr.io/*" for all of a registry'],
    ['ghcr.io/', 'has no repository at its end; expected "ghcr.io/*" for all below it'],
    ['ghcr.io/acme/', 'has no repository at its end; expected "ghcr.io/acme/*" for all below it'],
    ['https://ghcr.io/acme/*', 'has a scheme; expected e.g. "ghcr.io/acme/*"'],
    ['/acme/*', 'has no registry host before its first "/"; expected e.g. "ghcr.io/acme/*"'],
    ['gh_cr/acme/*', 'has no registry host before its first "/"; expected e.g. "ghcr.io/acme/*"'],
    [
      'ghcr.io/acme/app:v*',
      'has a tag or digest; rules are about repositories: expected "ghcr.io/acme/app"',
    ],
    [
      'ghcr.io/acme/app@sha256:00',
      'has a tag or digest; rules are about repositories: expected "ghcr.io/acme/app"',
    ],
    [
      'ghcr.io/Acme/*',
      'has capital letters in its repository, which no repository has; expected "acme/*"',
    ],
    [
      'ghcr.io/acme/[ab]',
      'has no repository after its first "/"; expected lowercase letters, digits, ".", "_", "-", "/" and "*"',
    ],
    ['ghcr.io:0/*', 'has the port "0"; expected 1 to 65535, or "*" for any'],
    ['ghcr.io:50*/*', 'has the port "50*"; expected 1 to 65535, or "*" for any'],
    [
      '*ghcr.io/*',
      'would match hosts of anybody, such as "evilghcr.io"; expected "*.ghcr.io" or "ghcr.io"',
    ],
    ...['ghcr.*/*', 'ghcr.io*/*', '10.0.*/*', 'local*/*', '*.*/*'].map((glob): [string, string] => [
      glob,
      'has "*" in the last part of its host, and so would match hosts of anybody; expected the end of the host, e.g. "*.acme.example/*", or "*/..." for every registry',
    ]),
  ])('%s is refused', (glob, problem) => {
    expect(parseReferenceGlob(glob)).toStrictEqual({
      problem: `${JSON.stringify(glob)} ${problem}`,
    })
  })

  test('with a host of its own matches no host that ends in another domain', () => {
    const label = fc.stringMatching(/^[a-z*]{1,4}$/)
    const host = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.'))
    const evil = fc.stringMatching(/^[a-z.]{0,12}$/).map((text) => `${text}.evil.test`)
    fc.assert(
      fc.property(host, evil, (glob, registry) => {
        const found = parseReferenceGlob(`${glob}/*`)
        fc.pre('glob' in found && !/^\*+$/.test(glob) && !glob.endsWith('test'))
        const reference = { registry: registry.replace(/^\.+|\.(?=\.)/g, ''), repository: 'x' }
        if ('glob' in found)
          expect(matchesGlob(found.glob, globTarget(reference), 'deny')).toBe(false)
      }),
      { numRuns: 1000 },
    )
  })

  test('matches itself where it has no wildcard, and nothing where one letter more or less stands', () => {
    const repository = fc.stringMatching(/^[a-z]{1,5}(\/[a-z]{1,5}){0,2}$/)
    const host = fc.stringMatching(/^[a-z]{2,6}\.[a-z]{2,4}(:[1-9][0-9]{3})?$/)
    fc.assert(
      fc.property(host, repository, (registry, name) => {
        const glob = `${registry}/${name}`
        expect(matches(glob, glob)).toBe(true)
        expect(matches(glob, `${glob}x`)).toBe(false)
        expect(matches(glob, `x${glob}`)).toBe(false)
        expect(matches(glob, `${registry}/x${name}`)).toBe(false)
      }),
    )
  })
})
