import { describe, expect, test } from 'vitest'
import { parseAnnotations } from '../../../common/composition/annotations.ts'
import {
  CompositionError,
  collectFindings,
  type Fault,
  findingsOf,
  invalidAt,
  warningAt,
} from '../../../common/composition/finding.ts'
import { CodedError } from '../../../common/errors.ts'
import { thrownBy } from '../../support/thrown.ts'

const KEY = 'oras.land/artifacts'

/** What is wrong with annotations, all of it. */
function faultsOf(annotations: Record<string, string>): readonly Fault[] {
  try {
    parseAnnotations(annotations)
  } catch (error) {
    if (error instanceof CompositionError) return error.findings
    throw error
  }
  return []
}

const shown = (annotations: Record<string, string>) =>
  faultsOf(annotations).map(({ path, position, entry, problem }) => [
    path,
    position && `${position.line}:${position.column}`,
    entry,
    problem,
  ])

describe('parseAnnotations finds at once', () => {
  test('what is wrong in each annotation, each entry and each field, with its place', () => {
    const artifacts = `
/proc: ghcr.io/acme/app:v1
/app:
  reference: ghcr.io/acme/app:v1
  pullpolicy: Always
  containers: [a, "b c", d_e]
  env:
    - {name: 1A, value: x}
    - {name: B}
/more: [ghcr.io/acme/app, ghcr.io/acme/app:v1, redis:7]
/none: []
`
    const annotations = {
      [KEY]: artifacts,
      'oras.land/artefacts': '',
      'oras.land/pull-policy': 'always',
      'oras.land/containers': 'x y',
    }
    const forms = 'a container name such as "app", "init:setup", "worker-*", or "app?" (if present)'
    expect(shown(annotations)).toStrictEqual([
      [
        'oras.land/artefacts',
        undefined,
        undefined,
        'Unknown annotation "oras.land/artefacts"; did you mean "oras.land/artifacts"?',
      ],
      [
        'oras.land/pull-policy',
        undefined,
        undefined,
        'found "always"; expected "Always", "IfNotPresent" or "Never"; did you mean "Always"?',
      ],
      ['oras.land/containers', undefined, undefined, `found "x y"; expected ${forms}`],
      [
        `${KEY}["/proc"]`,
        '2:1',
        undefined,
        '"/proc" is reserved, as is all of "/proc"; expected another path',
      ],
      [
        `${KEY}["/app"].pullpolicy`,
        '5:3',
        1,
        'unknown field "pullpolicy"; did you mean "pullPolicy"?',
      ],
      [`${KEY}["/app"].containers[1]`, '6:19', 1, `found "b c"; expected ${forms}`],
      [`${KEY}["/app"].containers[2]`, '6:26', 1, `found "d_e"; expected ${forms}`],
      [
        `${KEY}["/app"].env[0].name`,
        '8:14',
        1,
        'found "1A"; expected the name of a variable: letters, digits, "_", "-" and ".", not starting with a digit, e.g. "APP_HOME"',
      ],
      [
        `${KEY}["/app"].env[1]`,
        '9:7',
        1,
        'missing "value", "append" or "prepend"; expected e.g. {name: APP_HOME, value: /app}',
      ],
      [
        `${KEY}["/more"][0]`,
        '10:9',
        2,
        'reference "ghcr.io/acme/app" has neither tag nor digest; expected e.g. "ghcr.io/acme/app:latest"',
      ],
      [
        `${KEY}["/more"][2]`,
        '10:48',
        4,
        'invalid reference "redis:7": no registry; expected registry/repository:tag, e.g. "docker.io/library/redis:7"',
      ],
      [`${KEY}["/none"]`, '11:8', undefined, 'found an empty list; expected at least one artifact'],
    ])
  })

  test('a whole finding, and the error is its first', () => {
    const annotations = { [KEY]: '- {reference: ghcr.io/acme/app:v1, mountPath: app}' }
    const message = `Invalid ${KEY}[0].mountPath (line 1, column 47): "app" is relative; expected an absolute path, e.g. "/app"`
    expect(faultsOf(annotations)).toStrictEqual([
      {
        severity: 'error',
        code: 'INVALID',
        message,
        problem: '"app" is relative; expected an absolute path, e.g. "/app"',
        path: `${KEY}[0].mountPath`,
        annotation: KEY,
        position: { line: 1, column: 47 },
        entry: 0,
      },
    ])
    expect(thrownBy(() => parseAnnotations(annotations))).toBe(`INVALID ${message}`)
  })

  test('nothing that is only missing because it could not be read', () => {
    expect(faultsOf({ [KEY]: '- {reference: x, mountPath: y}' })).toHaveLength(2)
  })

  test('the attack: at most 50 of a thousand mistakes', () => {
    const globs = Array.from({ length: 1000 }, (_, index) => `"${index} x"`)
    const artifacts = `/app: {reference: ghcr.io/acme/app:v1, containers: [${globs.join()}]}`
    expect(faultsOf({ [KEY]: artifacts })).toHaveLength(50)
  })
})

describe('findings', () => {
  test('of a warning are cut to 120 characters where people read them', () => {
    const finding = warningAt({ path: 'x' }, 'a'.repeat(200))
    expect(finding).toStrictEqual({
      severity: 'warning',
      message: `${'a'.repeat(119)}…`,
      problem: 'a'.repeat(200),
      path: 'x',
    })
  })

  test('of an error without places are its message', () => {
    expect(findingsOf(new CodedError('CONFLICT', 'Taken'))).toStrictEqual([
      { severity: 'error', code: 'CONFLICT', message: 'Taken', problem: 'Taken' },
    ])
  })

  test('that are the same count once, and a bug is thrown at once', () => {
    const collector = collectFindings()
    const fail = () => {
      throw invalidAt({ path: 'x' }, 'wrong')
    }
    expect(collector.attempt(fail)).toBeUndefined()
    expect(collector.attempt(fail)).toBeUndefined()
    expect(collector.attempt(() => 8)).toBe(8)
    expect(() =>
      collector.attempt(() => {
        throw new TypeError('bug')
      }),
    ).toThrow(TypeError)
    expect(thrownBy(() => collector.finish())).toBe('INVALID Invalid x: wrong')
  })
})
