import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAnnotations } from '../../../common/composition/annotations.ts'
import type { Composition } from '../../../common/composition/composition.ts'
import { isCodedError } from '../../../common/errors.ts'
import { thrownBy } from '../../support/thrown.ts'

const KEY = 'oras.land/artifacts'
const DIGEST = `sha256:${'9'.repeat(64)}`
const APP = { registry: 'ghcr.io', repository: 'acme/app', tag: 'v1' }

/** As people see it: places without positions, warnings as text. */
const shown = ({ entries, warnings }: Composition) => ({
  entries: entries.map(({ place, containers, ...entry }) => ({
    place: place.path,
    ...entry,
    ...(containers && { containers: containers.map(({ place: _, ...selector }) => selector) }),
  })),
  warnings: warnings.map(({ message }) => message),
})
const parse = (artifacts: string, others: Record<string, string> = {}) =>
  shown(parseAnnotations({ [KEY]: artifacts, ...others }))

describe('parseAnnotations reads', () => {
  test('the short form: one line', () => {
    expect(parse('/app: ghcr.io/acme/app:v1')).toStrictEqual({
      entries: [{ place: `${KEY}["/app"]`, reference: APP, mountPath: '/app', readOnly: true }],
      warnings: [],
    })
  })

  test('the short form: an entry with options, and a digest', () => {
    const text = `
/app:                      # what we run
  reference: ghcr.io/acme/app:v1
  containers: [server, "worker-*", init:setup, "debug?"]
/etc/ssl/acme: ghcr.io/acme/certs@${DIGEST}
`
    expect(parse(text)).toStrictEqual({
      entries: [
        {
          place: `${KEY}["/app"]`,
          reference: APP,
          mountPath: '/app',
          containers: [
            { pattern: 'server', init: false, optional: false },
            { pattern: 'worker-*', init: false, optional: false },
            { pattern: 'setup', init: true, optional: false },
            { pattern: 'debug', init: false, optional: true },
          ],
          readOnly: true,
        },
        {
          place: `${KEY}["/etc/ssl/acme"]`,
          reference: { registry: 'ghcr.io', repository: 'acme/certs', digest: DIGEST },
          mountPath: '/etc/ssl/acme',
          readOnly: true,
        },
      ],
      warnings: [],
    })
  })

  test('the long form with every field', () => {
    const text = `
- reference: ghcr.io/acme/app:v1
  mountPath: /app
  name: app
  containers: [app]
  subPath: lib/app.jar
  path: lib
  select:
    mediaTypes: [application/java-archive, "text/*"]
    annotations: {com.acme.kind: "plugin-*", com.acme.tier: [a, b]}
    files: ["*.jar", "!*-sources.jar"]
  unpack: always
  platform: linux/aarch64/v8
  modes: keep
  pullPolicy: IfNotPresent
  pullSecret: acme-pull
  readOnly: true
`
    expect(parse(text).entries).toStrictEqual([
      {
        place: `${KEY}[0]`,
        reference: APP,
        mountPath: '/app',
        name: 'app',
        containers: [{ pattern: 'app', init: false, optional: false }],
        subPath: 'lib/app.jar',
        path: 'lib',
        select: {
          mediaTypes: ['application/java-archive', 'text/*'],
          annotations: { 'com.acme.kind': ['plugin-*'], 'com.acme.tier': ['a', 'b'] },
          files: ['*.jar', '!*-sources.jar'],
        },
        unpack: 'always',
        platform: { os: 'linux', architecture: 'arm64' },
        modes: 'keep',
        pullPolicy: 'IfNotPresent',
        pullSecret: 'acme-pull',
        readOnly: true,
      },
    ])
  })

  test.each([
    ['short', '{"/app": "ghcr.io/acme/app:v1"}'],
    ['long', '[{"reference": "ghcr.io/acme/app:v1", "mountPath": "/app"}]'],
    ['indented with tabs', '{\n\t"/app": "ghcr.io/acme/app:v1"\n}'],
  ])('JSON: %s', (_form, text) => {
    expect(parse(text).entries).toMatchObject([{ reference: APP, mountPath: '/app' }])
  })

  test('the pod-wide annotations as defaults that an entry overrides', () => {
    const text = `
/a: ghcr.io/acme/app:v1
/b: {reference: ghcr.io/acme/app:v1, pullSecret: "", pullPolicy: Never, containers: [web]}
`
    const others = {
      'oras.land/pull-secret': 'regcred',
      'oras.land/pull-policy': 'Always',
      'oras.land/containers': 'app, init:setup',
    }
    expect(parse(text, others).entries).toStrictEqual([
      {
        place: `${KEY}["/a"]`,
        reference: APP,
        mountPath: '/a',
        containers: [
          { pattern: 'app', init: false, optional: false },
          { pattern: 'setup', init: true, optional: false },
        ],
        pullPolicy: 'Always',
        pullSecret: 'regcred',
        readOnly: true,
      },
      {
        place: `${KEY}["/b"]`,
        reference: APP,
        mountPath: '/b',
        containers: [{ pattern: 'web', init: false, optional: false }],
        pullPolicy: 'Never',
        pullSecret: '',
        readOnly: true,
      },
    ])
  })

  test('the root of the volume as no path', () => {
    const [entry] = parse('/a: {reference: ghcr.io/acme/app:v1, path: /}').entries
    expect(entry).not.toHaveProperty('path')
  })

  test('an empty pull-secret as none', () => {
    const { entries } = parse('/a: ghcr.io/acme/app:v1', { 'oras.land/pull-secret': '' })
    expect(entries[0]?.pullSecret).toBe('')
  })

  test('past the annotations of others, and its own status', () => {
    const others = { 'example.com/x': '[', 'oras.land/status': 'anything' }
    expect(parse('/app: ghcr.io/acme/app:v1', others).entries).toHaveLength(1)
  })
})

describe('parseAnnotations warns', () => {
  test.each([
    ['acme/app:1', ['"acme" in "acme/app:1" is a host; "docker.io/acme/app:1" may be meant']],
    ['localhost/app:1', []],
    ['registry:5000/app:1', []],
    ['ghcr.io/app:1', []],
  ])('of a host that looks like none: %s', (reference, warnings) => {
    expect(parse(`/app: ${reference}`).warnings).toStrictEqual(warnings)
  })

  test('within 120 characters', () => {
    const [warning] = parse(`/app: acme/${'a'.repeat(200)}:1`).warnings
    expect(warning).toHaveLength(120)
  })

  test('of annotations without oras.land/artifacts', () => {
    const others = { 'oras.land/status': '{}', 'example.com/y': '' }
    expect(shown(parseAnnotations({ 'oras.land/artefacts': '/app: x', ...others }))).toStrictEqual({
      entries: [],
      warnings: ['Unknown annotation "oras.land/artefacts"; did you mean "oras.land/artifacts"?'],
    })
    expect(shown(parseAnnotations({ 'oras.land/pull-secret': 'x', ...others }))).toStrictEqual({
      entries: [],
      warnings: ['oras.land/pull-secret has no effect without oras.land/artifacts'],
    })
  })
})

describe('parseAnnotations refuses', () => {
  const at = (path: string, position: string, why: string) =>
    `INVALID Invalid ${KEY}${path} (${position}): ${why}`

  test.each<[string, string, string]>([
    [
      'a line without a space after the colon',
      '/app:ghcr.io/acme/app:v1',
      at(
        '',
        'line 1, column 1',
        'found "/app:ghcr.io/acme/app:v1"; expected a mount path, a colon, a space and a reference, e.g. "/app: ghcr.io/acme/app:v1"',
      ),
    ],
    [
      'an entry that is not in a list',
      'reference: ghcr.io/acme/app:v1\nmountPath: /app',
      at(
        '.reference',
        'line 1, column 1',
        '"reference" is a field of an entry; expected a mount path, e.g. "/app: ghcr.io/acme/app:v1", or a list of entries, each starting with "- "',
      ),
    ],
    [
      'a list of references',
      '- ghcr.io/acme/app:v1',
      at(
        '[0]',
        'line 1, column 3',
        'found "ghcr.io/acme/app:v1"; expected an entry with "reference" and "mountPath"',
      ),
    ],
    [
      'nothing',
      '',
      `INVALID Invalid ${KEY}: found nothing; expected e.g. "/app: ghcr.io/acme/app:v1"`,
    ],
    [
      'a comment alone',
      '# later',
      `INVALID Invalid ${KEY}: found nothing; expected e.g. "/app: ghcr.io/acme/app:v1"`,
    ],
    [
      'an empty mapping',
      '{}',
      at(
        '',
        'line 1, column 1',
        'found an empty mapping; expected at least one artifact, e.g. "/app: ghcr.io/acme/app:v1"',
      ),
    ],
    [
      'an empty list',
      '[]',
      at(
        '',
        'line 1, column 1',
        'found an empty list; expected at least one artifact, e.g. "/app: ghcr.io/acme/app:v1"',
      ),
    ],
    [
      'a missing mount path',
      '- reference: ghcr.io/acme/app:v1',
      at('[0]', 'line 1, column 3', 'missing "mountPath"; expected e.g. "/app"'),
    ],
    [
      'a missing reference',
      '/app: {containers: [a]}',
      at(
        '["/app"]',
        'line 1, column 7',
        'missing "reference"; expected e.g. "ghcr.io/acme/app:v1"',
      ),
    ],
    [
      'a mount path in the short form that is given twice',
      '/app: {mountPath: /b, reference: ghcr.io/acme/app:v1}',
      at(
        '["/app"].mountPath',
        'line 1, column 8',
        'the mount path is "/app" already; leave it away here',
      ),
    ],
    [
      'an unknown field with the nearest one',
      '- {reference: ghcr.io/acme/app:v1, mountpath: /app}',
      at(
        '[0].mountpath',
        'line 1, column 36',
        'unknown field "mountpath"; did you mean "mountPath"?',
      ),
    ],
    [
      'an unknown field with all there are',
      '- {zzzzzzzz: 1}',
      at(
        '[0].zzzzzzzz',
        'line 1, column 4',
        'unknown field "zzzzzzzz"; expected "reference", "mountPath", "name", "containers", "subPath", "path", "select", "unpack", "platform", "modes", "pullPolicy", "pullSecret", "readOnly" or "env"',
      ),
    ],
    [
      'a field that every object of JavaScript has',
      '- {constructor: 1}',
      at(
        '[0].constructor',
        'line 1, column 4',
        'unknown field "constructor"; expected "reference", "mountPath", "name", "containers", "subPath", "path", "select", "unpack", "platform", "modes", "pullPolicy", "pullSecret", "readOnly" or "env"',
      ),
    ],
    [
      'a merge key',
      '- {<<: {reference: ghcr.io/acme/app:v1}}',
      at(
        '[0]["<<"]',
        'line 1, column 4',
        'unknown field "<<"; expected "reference", "mountPath", "name", "containers", "subPath", "path", "select", "unpack", "platform", "modes", "pullPolicy", "pullSecret", "readOnly" or "env"',
      ),
    ],
    [
      'a key twice',
      '/app: ghcr.io/acme/app:v1\n/app: ghcr.io/acme/app:v2',
      at('["/app"]', 'line 2, column 1', 'found twice, first on line 1'),
    ],
    [
      'a key twice, written differently',
      '/app: ghcr.io/acme/app:v1\n"\\u002fapp": ghcr.io/acme/app:v2',
      at('["/app"]', 'line 2, column 1', 'found twice, first on line 1'),
    ],
    [
      'a number',
      '- {reference: ghcr.io/acme/app:v1, mountPath: /app, name: 8}',
      at(
        '[0].name',
        'line 1, column 59',
        'found the number 8; expected text: put it in quotes, "8"',
      ),
    ],
    ['no value', '/app:', at('["/app"]', 'line 1, column 6', 'found nothing; expected text')],
    [
      'an empty value',
      '/app: ""',
      at('["/app"]', 'line 1, column 7', 'found an empty string; expected text'),
    ],
    [
      'a key that is a number',
      '8: ghcr.io/acme/app:v1',
      at(
        '',
        'line 1, column 1',
        'found a key that is not text; expected text, in quotes if need be',
      ),
    ],
    [
      'text that is no YAML',
      '/app: a: b',
      at(
        '',
        'line 1, column 7',
        'not valid YAML or JSON: nested mappings are not allowed in compact mappings',
      ),
    ],
    [
      'a second document',
      '/app: ghcr.io/acme/app:v1\n---\n/b: ghcr.io/acme/app:v1',
      at('', 'line 2, column 1', 'found a second YAML document; expected one'),
    ],
    [
      'an alias',
      '/app: {reference: ghcr.io/acme/app:v1, containers: [*all]}',
      at(
        '["/app"].containers[0]',
        'line 1, column 53',
        'found a YAML alias, which is not allowed; put text that starts with "*" in quotes',
      ),
    ],
    [
      'a star that stands alone, which YAML takes for an alias',
      '/app: {reference: ghcr.io/acme/app:v1, containers: [*]}',
      at(
        '',
        'line 1, column 53',
        'found a YAML alias, which is not allowed; put text that starts with "*" in quotes',
      ),
    ],
    [
      'an anchor',
      '/app: &a ghcr.io/acme/app:v1',
      at('["/app"]', 'line 1, column 10', 'found a YAML anchor ("&"), which is not allowed'),
    ],
    [
      'a standard tag',
      '/app: !!str ghcr.io/acme/app:v1',
      at(
        '["/app"]',
        'line 1, column 13',
        'found a YAML tag ("!"), which is not allowed; put text that starts with "!" in quotes',
      ),
    ],
    [
      'a tag of one’s own',
      '/app: !env APP',
      at(
        '',
        'line 1, column 7',
        'found a YAML tag ("!"), which is not allowed; put text that starts with "!" in quotes',
      ),
    ],
    [
      'a directive that would switch to YAML 1.1',
      '%YAML 1.1\n---\n/app: ghcr.io/acme/app:v1',
      at('', 'line 1, column 1', 'found a YAML directive (a line that starts with "%")'),
    ],
    [
      'a directive that redefines tags',
      '%TAG ! tag:example.com,2000:\n---\n/app: ghcr.io/acme/app:v1',
      at('', 'line 1, column 1', 'found a YAML directive (a line that starts with "%")'),
    ],
    [
      'a bidi override, as in "trojan source"',
      '/app: ghcr.io/acme/app:v1 # \u202E',
      at('', 'line 1, column 29', 'found the control or invisible character U+202E; not allowed'),
    ],
    [
      'a bidi override in an escape',
      '{"/app": "ghcr.io/acme/\\u202eapp:v1"}',
      at(
        '["/app"]',
        'line 1, column 10',
        'found the control or invisible character U+202E; not allowed',
      ),
    ],
    [
      'a NUL in a mount path',
      '{"/app\\u0000": "ghcr.io/acme/app:v1"}',
      at('', 'line 1, column 2', 'found the control or invisible character U+0000; not allowed'),
    ],
    [
      'a boolean in quotes',
      '/app: {reference: ghcr.io/acme/app:v1, readOnly: "true"}',
      at(
        '["/app"].readOnly',
        'line 1, column 50',
        'found "true"; expected true or false, without quotes',
      ),
    ],
    [
      'another spelling of a pull policy',
      '/app: {reference: ghcr.io/acme/app:v1, pullPolicy: always}',
      at(
        '["/app"].pullPolicy',
        'line 1, column 52',
        'found "always"; expected "Always", "IfNotPresent" or "Never"; did you mean "Always"?',
      ),
    ],
    [
      'a secret that can have no such name',
      '/app: {reference: ghcr.io/acme/app:v1, pullSecret: Reg_Cred}',
      at(
        '["/app"].pullSecret',
        'line 1, column 52',
        'found "Reg_Cred"; expected the name of a secret in the pod\'s namespace, e.g. "acme-pull"',
      ),
    ],
    [
      'a name that no volume can have',
      '/app: {reference: ghcr.io/acme/app:v1, name: App}',
      at(
        '["/app"].name',
        'line 1, column 46',
        'found "App"; expected lowercase letters, digits and "-", e.g. "app"',
      ),
    ],
    [
      'a name that is too long',
      `/app: {reference: ghcr.io/acme/app:v1, name: ${'a'.repeat(59)}}`,
      at('["/app"].name', 'line 1, column 46', 'found 59 characters; expected at most 58'),
    ],
    [
      'containers that are no list',
      '/app: {reference: ghcr.io/acme/app:v1, containers: web}',
      at('["/app"].containers', 'line 1, column 52', 'found "web"; expected a list, e.g. ["app"]'),
    ],
    [
      'an empty list of containers',
      '/app: {reference: ghcr.io/acme/app:v1, containers: []}',
      at(
        '["/app"].containers',
        'line 1, column 52',
        'found an empty list; leave it away to mean every container',
      ),
    ],
    [
      'a selector that no container can match',
      '/app: {reference: ghcr.io/acme/app:v1, containers: ["a b"]}',
      at(
        '["/app"].containers[0]',
        'line 1, column 53',
        'found "a b"; expected a container name such as "app", "init:setup", "worker-*", or "app?" (if present)',
      ),
    ],
    [
      'a reference without a registry, showing the corrected one',
      '/app: redis:7',
      at(
        '["/app"]',
        'line 1, column 7',
        'invalid reference "redis:7": no registry; expected registry/repository:tag, e.g. "docker.io/library/redis:7"',
      ),
    ],
    [
      'a reference without tag and digest, showing the corrected one',
      '/app: ghcr.io/acme/app',
      at(
        '["/app"]',
        'line 1, column 7',
        'reference "ghcr.io/acme/app" has neither tag nor digest; expected e.g. "ghcr.io/acme/app:latest"',
      ),
    ],
    [
      'more than 32 entries',
      Array.from({ length: 33 }, (_, index) => `/${index}: ghcr.io/acme/app:v1`).join('\n'),
      at('', 'line 1, column 1', 'found 33 artifacts; expected at most 32 in a pod'),
    ],
    [
      'more than 32 KiB, before it is parsed',
      `/app: ${'['.repeat(32 * 1024)}`,
      'INVALID The oras.land/ annotations have 32774 bytes; expected at most 32768',
    ],
    [
      'nesting deeper than any entry',
      `/app: ${'['.repeat(9)}x${']'.repeat(9)}`,
      at(`["/app"]${'[0]'.repeat(8)}`, 'line 1, column 15', 'nested more than 8 levels deep'),
    ],
    [
      'nesting that would exhaust the stack: flow',
      '['.repeat(32_000),
      expect.stringMatching(/nested more than 8 levels deep$/) as string,
    ],
    [
      'nesting that would exhaust the stack: block',
      `${'- '.repeat(16_000)}a`,
      expect.stringMatching(/nested more than 8 levels deep$/) as string,
    ],
  ])('%s', (_name, text, message) => {
    expect(thrownBy(() => parse(text))).toEqual(message)
  })

  test('an unknown annotation beside a known one, even without artifacts', () => {
    const annotations = { 'oras.land/artefacts': '/app: x', 'oras.land/pull-secret': 'x' }
    expect(thrownBy(() => parseAnnotations(annotations))).toBe(
      'INVALID Unknown annotation "oras.land/artefacts"; did you mean "oras.land/artifacts"?',
    )
  })

  test.each([
    [
      'unpack',
      'allways',
      'found "allways"; expected "auto", "always" or "never"; did you mean "always"?',
    ],
    ['unpack', 'true', 'found the boolean true; expected text: put it in quotes, "true"'],
    ['modes', 'keeep', 'found "keeep"; expected "readable" or "keep"; did you mean "keep"?'],
    [
      'platform',
      'arm64',
      'invalid platform "arm64": expected os/arch or os/arch/variant, e.g. "linux/arm64"',
    ],
    [
      'platform',
      'linux/',
      'invalid platform "linux/": expected os/arch or os/arch/variant, e.g. "linux/arm64"',
    ],
    ['path', '/lib', '"/lib" is absolute; expected a path inside the volume, e.g. "lib"'],
    ['path', '../lib', '"../lib" has ".."; expected a path inside the volume'],
    ['path', 'lib/', '"lib/" is not clean; expected "lib"'],
  ])('%s: %s', (field, value, why) => {
    const column = `line 1, column ${'- {'.length + field.length + ': '.length + 1}`
    expect(thrownBy(() => parse(`- {${field}: ${value}}`))).toBe(at(`[0].${field}`, column, why))
  })

  test.each([
    ['app', '"app" is relative; expected an absolute path, e.g. "/app"'],
    ['/app/', '"/app/" is not clean; expected "/app"'],
    ['/a//b', '"/a//b" is not clean; expected "/a/b"'],
    ['/a/../../etc', '"/a/../../etc" is not clean; expected "/etc"'],
    ['/a/./b', '"/a/./b" is not clean; expected "/a/b"'],
    [
      '/a:b',
      '"/a:b" has a ":", which Kubernetes does not allow in mount paths; expected a path without',
    ],
    ['/', '"/" would hide the whole image; expected a directory, e.g. "/app"'],
    ['/etc', '"/etc" would hide what the container needs; expected a path in it, e.g. "/etc/acme"'],
    ['/proc', '"/proc" is reserved, as is all of "/proc"; expected another path'],
    ['/proc/1', '"/proc/1" is reserved, as is all of "/proc"; expected another path'],
    ['/sys', '"/sys" is reserved, as is all of "/sys"; expected another path'],
    ['/sys/fs', '"/sys/fs" is reserved, as is all of "/sys"; expected another path'],
    ['/dev', '"/dev" is reserved, as is all of "/dev"; expected another path'],
    ['/dev/shm', '"/dev/shm" is reserved, as is all of "/dev"; expected another path'],
    [
      '/dev/termination-log',
      '"/dev/termination-log" belongs to the kubelet; expected another path',
    ],
    [
      '/var/run/secrets/kubernetes.io/serviceaccount',
      '"/var/run/secrets/kubernetes.io/serviceaccount" is reserved, as is all of "/var/run/secrets/kubernetes.io"; expected another path',
    ],
    [
      '/run/secrets/kubernetes.io',
      '"/run/secrets/kubernetes.io" is reserved, as is all of "/run/secrets/kubernetes.io"; expected another path',
    ],
  ])('the mount path %s', (mountPath, why) => {
    const text = JSON.stringify([{ mountPath, reference: 'ghcr.io/acme/app:v1' }])
    expect(thrownBy(() => parse(text))).toBe(at('[0].mountPath', 'line 1, column 15', why))
  })

  test.each([
    ['in one component', `/${'a'.repeat(256)}`, `"${'a'.repeat(30)}…" is longer than 255 bytes`],
    ['in all', '/b'.repeat(2048), 'longer than 4095 bytes'],
  ])('a mount path that is too long %s', (_name, mountPath, why) => {
    const text = JSON.stringify([{ mountPath }])
    expect(thrownBy(() => parse(text))).toBe(at('[0].mountPath', 'line 1, column 15', why))
  })

  test.each([
    ['/lib', '"/lib" is absolute; expected a path inside the volume, e.g. "lib"'],
    ['..', '".." has ".."; expected a path inside the volume'],
    ['a/../../b', '"a/../../b" has ".."; expected a path inside the volume'],
    ['a//b', '"a//b" is not clean; expected "a/b"'],
    ['a/', '"a/" is not clean; expected "a"'],
    ['.', '"." is the whole volume; leave it away'],
  ])('the subPath %s', (subPath, why) => {
    const text = JSON.stringify([{ subPath }])
    expect(thrownBy(() => parse(text))).toBe(at('[0].subPath', 'line 1, column 13', why))
  })

  test.each([
    [
      { 'oras.land/pullsecret': 'x' },
      'INVALID Unknown annotation "oras.land/pullsecret"; did you mean "oras.land/pull-secret"?',
    ],
    [
      { 'oras.land/zzzzzzzzz': 'x' },
      'INVALID Unknown annotation "oras.land/zzzzzzzzz"; expected "oras.land/artifacts", "oras.land/pull-secret", "oras.land/pull-policy" or "oras.land/containers"',
    ],
    [
      { 'oras.land/pull-policy': 'Sometimes' },
      'INVALID Invalid oras.land/pull-policy: found "Sometimes"; expected "Always", "IfNotPresent" or "Never"',
    ],
    [
      { 'oras.land/pull-secret': 'a b' },
      'INVALID Invalid oras.land/pull-secret: found "a b"; expected the name of a secret in the pod\'s namespace, e.g. "acme-pull"',
    ],
    [
      { 'oras.land/containers': 'a,,b' },
      'INVALID Invalid oras.land/containers: found an empty string; expected text',
    ],
    [
      { 'oras.land/containers': 'a\u200b' },
      'INVALID Invalid oras.land/containers: found the control or invisible character U+200B; not allowed',
    ],
  ])('beside the artifacts: %j', (others, message) => {
    expect(thrownBy(() => parse('/app: ghcr.io/acme/app:v1', others))).toBe(message)
  })
})

describe('parseAnnotations, whatever comes,', () => {
  const yamlish = fc.stringMatching(/^[-:{}[\]/,&*!%?|> \n\t"'a-z0-9#.]{0,200}$/)
  const fields = fc.record(
    {
      reference: fc.oneof(fc.constant('ghcr.io/acme/app:v1'), fc.anything()),
      mountPath: fc.oneof(fc.constant('/app'), fc.string(), fc.anything()),
      containers: fc.oneof(fc.array(fc.string()), fc.anything()),
      readOnly: fc.anything(),
      path: fc.anything(),
      platform: fc.oneof(fc.string(), fc.anything()),
      select: fc.oneof(
        fc.record(
          {
            mediaTypes: fc.oneof(fc.array(fc.string()), fc.anything()),
            annotations: fc.oneof(fc.dictionary(fc.string(), fc.anything()), fc.anything()),
            files: fc.oneof(fc.array(fc.string()), fc.anything()),
          },
          { requiredKeys: [] },
        ),
        fc.anything(),
      ),
    },
    { requiredKeys: [] },
  )
  const structured = fc.array(fields).map((entries) => JSON.stringify(entries) ?? '')

  test('gives entries or INVALID, nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(yamlish, fc.string({ unit: 'binary' }), structured), (text) => {
        try {
          parse(text)
        } catch (error) {
          expect(isCodedError(error, 'INVALID'), String(error)).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })
})
