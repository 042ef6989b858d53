import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAnnotations } from '../../../common/composition/annotations.ts'
import { isCodedError } from '../../../common/errors.ts'
import { thrownBy } from '../../support/thrown.ts'

const KEY = 'oras.land/artifacts'
const HEAD = '/app: {reference: ghcr.io/acme/app:v1, env: '
const parse = (env: string) => parseAnnotations({ [KEY]: `${HEAD}${env}}` })
const rulesOf = (env: string) => parse(env).entries[0]?.env?.map(({ place: _, ...rule }) => rule)

describe('the env of an entry reads', () => {
  test.each<[string, string, object]>([
    ['a value', '[{name: A, value: b}]', { kind: 'value', name: 'A', value: 'b' }],
    ['an empty value', '[{name: A, value: ""}]', { kind: 'value', name: 'A', value: '' }],
    [
      'a part, in any order of fields',
      '[{append: x, separator: ",", name: a.b-C}]',
      { kind: 'append', name: 'a.b-C', part: 'x', separator: ',' },
    ],
    [
      'a part before',
      '[{name: PATH, prepend: /app/bin}]',
      { kind: 'prepend', name: 'PATH', part: '/app/bin', separator: ':' },
    ],
    [
      'a base',
      '[{name: CLASSPATH, append: "/app/*", base: "/opt/*"}]',
      { kind: 'append', name: 'CLASSPATH', part: '/app/*', separator: ':', base: '/opt/*' },
    ],
    [
      'an empty base',
      '[{name: NODE_OPTIONS, append: --enable-source-maps, base: ""}]',
      {
        kind: 'append',
        name: 'NODE_OPTIONS',
        part: '--enable-source-maps',
        separator: ' ',
        base: '',
      },
    ],
    [
      'another separator than the known one',
      '[{name: PATH, append: x, separator: ";"}]',
      { kind: 'append', name: 'PATH', part: 'x', separator: ';' },
    ],
  ])('%s', (_name, env, rule) => {
    expect(rulesOf(env)).toStrictEqual([rule])
  })

  test.each([
    ['PATH', ':'],
    ['LD_LIBRARY_PATH', ':'],
    ['LD_PRELOAD', ':'],
    ['CLASSPATH', ':'],
    ['PYTHONPATH', ':'],
    ['NODE_PATH', ':'],
    ['JAVA_TOOL_OPTIONS', ' '],
    ['JDK_JAVA_OPTIONS', ' '],
    ['NODE_OPTIONS', ' '],
  ])('the known separator of %s', (name, separator) => {
    expect(rulesOf(`[{name: ${name}, append: x}]`)).toStrictEqual([
      { kind: 'append', name, part: 'x', separator },
    ])
  })

  test('places', () => {
    const [entry] = parse('[{name: A, value: b}]').entries
    expect(entry?.env?.[0]?.place).toStrictEqual({
      path: `${KEY}["/app"].env[0]`,
      annotation: KEY,
      position: { line: 1, column: HEAD.length + 2 },
      entry: 0,
    })
  })
})

describe('the env of an entry refuses', () => {
  test.each<[string, string, string]>([
    ['text', 'x', ': found "x"; expected a list, e.g. [{name: APP_HOME, value: /app}]'],
    [
      'a mapping of variables',
      '{A: b}',
      ': found a mapping; expected a list, e.g. [{name: APP_HOME, value: /app}]',
    ],
    ['an empty list', '[]', ': found an empty list; leave it away to set no variable'],
    ['A=b', '[A=b]', '[0]: found "A=b"; expected a mapping, e.g. {name: APP_HOME, value: /app}'],
    ['no name', '[{value: b}]', '[0]: missing "name"; expected e.g. {name: APP_HOME, value: /app}'],
    [
      'no action',
      '[{name: A}]',
      '[0]: missing "value", "append" or "prepend"; expected e.g. {name: APP_HOME, value: /app}',
    ],
    [
      'two actions',
      '[{name: A, value: b, append: c}]',
      '[0].append: found "append" beside "value"; expected one of "value", "append" or "prepend"',
    ],
    [
      'a separator without parts',
      '[{name: A, value: b, separator: ","}]',
      '[0].separator: found "separator" beside "value"; it belongs to "append" and "prepend"',
    ],
    [
      'a base without parts',
      '[{name: A, value: b, base: ""}]',
      '[0].base: found "base" beside "value"; it belongs to "append" and "prepend"',
    ],
    [
      'no separator for what is not known',
      '[{name: A, append: b}]',
      '[0]: missing "separator", which is known only for PATH, LD_LIBRARY_PATH, LD_PRELOAD, CLASSPATH, PYTHONPATH, NODE_PATH, JAVA_TOOL_OPTIONS, JDK_JAVA_OPTIONS, NODE_OPTIONS; expected e.g. separator: ","',
    ],
    [
      'an empty separator',
      '[{name: PATH, append: b, separator: ""}]',
      '[0].separator: found an empty string; expected text',
    ],
    [
      'an empty part',
      '[{name: PATH, append: ""}]',
      '[0].append: found an empty string; expected text',
    ],
    [
      'a number',
      '[{name: A, value: 8}]',
      '[0].value: found the number 8; expected text: put it in quotes, "8"',
    ],
    [
      'the valueFrom of Kubernetes, and shows what there is',
      '[{name: A, valueFrom: {}}]',
      '[0].valueFrom: unknown field "valueFrom"; expected "name", "value", "append", "prepend", "separator" or "base"',
    ],
    [
      'a misspelt field, with the nearest',
      '[{name: A, apend: b}]',
      '[0].apend: unknown field "apend"; did you mean "append"?',
    ],
    [
      'a name with a space',
      '[{name: A B, value: b}]',
      '[0].name: found "A B"; expected the name of a variable: letters, digits, "_", "-" and ".", not starting with a digit, e.g. "APP_HOME"',
    ],
    [
      'a name that starts as a parent directory',
      '[{name: "..A", value: b}]',
      '[0].name: found "..A"; expected the name of a variable: letters, digits, "_", "-" and ".", not starting with a digit, e.g. "APP_HOME"',
    ],
    [
      'a name of ours',
      '[{name: ORAS_BASE_X, append: b, separator: ","}]',
      '[0].name: found "ORAS_BASE_X"; names that start with "ORAS_BASE_" are given by oras-csi, expected another',
    ],
  ])('%s', (_name, env, problem) => {
    const message = thrownBy(() => parse(env)).replace(/ \(line \d+, column \d+\)/, '')
    expect(message).toBe(`INVALID Invalid ${KEY}["/app"].env${problem}`)
  })

  test('whatever comes, with INVALID and nothing else', () => {
    const rules = fc.array(
      fc.record(
        {
          name: fc.oneof(fc.constant('PATH'), fc.string(), fc.jsonValue()),
          value: fc.oneof(fc.string(), fc.jsonValue()),
          append: fc.oneof(fc.string(), fc.jsonValue()),
          separator: fc.oneof(fc.string(), fc.jsonValue()),
          base: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
    )
    fc.assert(
      fc.property(rules, (env) => {
        try {
          parse(JSON.stringify(env))
        } catch (error) {
          expect(isCodedError(error, 'INVALID'), String(error)).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })
})
