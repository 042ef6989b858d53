import { describe, expect, test } from 'vitest'
import { mutate } from '../../webhook/mutate.ts'
import { thrownBy } from '../support/thrown.ts'

const KEY = 'oras.land/artifacts'

interface Variable {
  readonly name: string
  readonly [field: string]: unknown
}

const podOf = (rules: readonly string[], container: object = {}) => ({
  metadata: {
    annotations: {
      [KEY]: rules
        .map((rule, at) => `/${at}: {reference: ghcr.io/acme/app:v1, env: [${rule}]}`)
        .join('\n'),
    },
  },
  spec: { containers: [{ name: 'java', ...container }] },
})

/** What becomes of the variables of a container, run twice as the API server does when another webhook changed the pod. */
function composed(rules: readonly string[], container: object = {}) {
  const first = mutate(podOf(rules, container))
  expect(mutate(structuredClone(first.pod)).pod).toStrictEqual(first.pod)
  const { containers } = first.pod['spec'] as { containers: { env?: Variable[] }[] }
  return { env: containers[0]?.env, warnings: first.warnings }
}

const SOURCE = { configMapKeyRef: { name: 'settings', key: 'x' } }
const VALUE = '{name: A, value: v}'
const APPEND = '{name: A, append: x, separator: ":"}'
const PREPEND = '{name: A, prepend: x, separator: ":"}'
const BASED = '{name: A, append: x, separator: ":", base: b}'
const BASED_BEFORE = '{name: A, prepend: x, separator: ":", base: b}'
const NO_BASE = '{name: A, append: x, separator: ":", base: ""}'
const other = { name: 'B', value: '$(A)' }
const others = { name: 'C', value: 'c', future: true }

describe('a variable', () => {
  test.each<[string, string, Variable[] | undefined, Variable[], string[]]>([
    ['that is absent is added last', VALUE, [others], [others, { name: 'A', value: 'v' }], []],
    ['of a container without any is added', VALUE, undefined, [{ name: 'A', value: 'v' }], []],
    [
      'that has the value already stays',
      VALUE,
      [{ name: 'A', value: 'v' }, other],
      [{ name: 'A', value: 'v' }, other],
      [],
    ],
    [
      'that has another value is kept, with a warning',
      VALUE,
      [{ name: 'A', value: 'mine' }],
      [{ name: 'A', value: 'mine' }],
      ['java: "A" keeps the value that the pod gives it'],
    ],
    [
      'that is empty is kept, with a warning',
      VALUE,
      [{ name: 'A' }],
      [{ name: 'A' }],
      ['java: "A" keeps the value that the pod gives it'],
    ],
    [
      'that comes from elsewhere is kept, with a warning',
      VALUE,
      [{ name: 'A', valueFrom: SOURCE }],
      [{ name: 'A', valueFrom: SOURCE }],
      ['java: "A" keeps the value that the pod gives it'],
    ],
    [
      'that comes from an optional source is kept, with a warning',
      VALUE,
      [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'k', optional: true } } }],
      [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'k', optional: true } } }],
      ['java: "A" keeps the value that the pod gives it'],
    ],
    [
      'that is absent gets a part after its base',
      BASED,
      undefined,
      [{ name: 'A', value: 'b:x' }],
      [],
    ],
    [
      'that is absent gets a part before its base',
      BASED_BEFORE,
      undefined,
      [{ name: 'A', value: 'x:b' }],
      [],
    ],
    [
      'that is absent gets the part alone where the base is empty',
      NO_BASE,
      undefined,
      [{ name: 'A', value: 'x' }],
      [],
    ],
    [
      'keeps its place when a part is appended',
      APPEND,
      [others, { name: 'A', value: 'a', future: 1 }, other],
      [others, { name: 'A', value: 'a:x', future: 1 }, other],
      [],
    ],
    [
      'that is there does not need a base',
      BASED,
      [{ name: 'A', value: 'a' }],
      [{ name: 'A', value: 'a:x' }],
      [],
    ],
    [
      'gets a part before it',
      PREPEND,
      [{ name: 'A', value: 'a' }],
      [{ name: 'A', value: 'x:a' }],
      [],
    ],
    [
      'that is empty gets the part alone: an empty part of PATH is the working directory',
      APPEND,
      [{ name: 'A', value: '' }],
      [{ name: 'A', value: 'x' }],
      [],
    ],
    [
      'that has the part already stays',
      APPEND,
      [{ name: 'A', value: 'a:x:c' }],
      [{ name: 'A', value: 'a:x:c' }],
      [],
    ],
    [
      'that has something like the part gets the part',
      APPEND,
      [{ name: 'A', value: 'a:xx' }],
      [{ name: 'A', value: 'a:xx:x' }],
      [],
    ],
    [
      'from elsewhere goes on under another name, right before',
      APPEND,
      [others, { name: 'A', valueFrom: SOURCE, future: 1 }, other],
      [
        others,
        { name: 'ORAS_BASE_A', valueFrom: SOURCE, future: 1 },
        { name: 'A', value: '$(ORAS_BASE_A):x' },
        other,
      ],
      [],
    ],
    [
      'from elsewhere gets a part before it',
      PREPEND,
      [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
      [
        { name: 'ORAS_BASE_A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        { name: 'A', value: 'x:$(ORAS_BASE_A)' },
      ],
      [],
    ],
    [
      'of which there are two: the last counts, as in the kubelet',
      APPEND,
      [
        { name: 'A', value: 'first' },
        { name: 'A', value: 'last' },
      ],
      [
        { name: 'A', value: 'first' },
        { name: 'A', value: 'last:x' },
      ],
      [],
    ],
    ['of null as of none', VALUE, null as never, [{ name: 'A', value: 'v' }], []],
  ])('%s', (_name, rule, env, after, warnings) => {
    expect(composed([rule], env === undefined ? {} : { env })).toStrictEqual({
      env: after,
      warnings,
    })
  })

  const envFrom = [{ configMapRef: { name: 'settings' } }]

  test('that envFrom may set too is set, with a warning', () => {
    expect(composed([VALUE], { envFrom })).toStrictEqual({
      env: [{ name: 'A', value: 'v' }],
      warnings: ['java: "A" replaces one that "envFrom" may set'],
    })
  })

  test('that envFrom may set too is not warned of where the base says what it is', () => {
    expect(composed([BASED], { envFrom }).warnings).toStrictEqual([])
  })

  test('gets the parts of several entries in the order written', () => {
    const rules = [
      '{name: PATH, append: /a}',
      '{name: PATH, append: /b}, {name: PATH, prepend: /c}',
      '{name: PATH, prepend: /d}, {name: PATH, append: /a}',
    ]
    expect(composed(rules, { env: [{ name: 'PATH', value: '/bin' }] }).env).toStrictEqual([
      { name: 'PATH', value: '/d:/c:/bin:/a:/b' },
    ])
  })

  test('needs a base from one of several entries only', () => {
    expect(
      composed(['{name: PATH, append: /a}', '{name: PATH, append: /b, base: /bin}']).env,
    ).toStrictEqual([{ name: 'PATH', value: '/bin:/a:/b' }])
  })

  test('that several entries set to one value is set once', () => {
    expect(composed([VALUE, VALUE]).env).toStrictEqual([{ name: 'A', value: 'v' }])
  })
})

describe('a variable is refused', () => {
  const INVALID = `INVALID Invalid ${KEY}["/0"].env[0] (line 1, column 44)`
  const SECOND = `INVALID Invalid ${KEY}["/1"].env[0] (line 2, column 44)`

  test.each<[string, string[], object, string]>([
    [
      'where only the image sets it, and nothing says what to append to',
      [APPEND],
      {},
      `${INVALID}: container "java" does not set "A", and setting it would replace what its image may set; expected "base" to say what to append to, e.g. base: "" for nothing`,
    ],
    [
      'where envFrom may set it',
      [PREPEND],
      { envFrom: [{ prefix: 'X_' }] },
      `${INVALID}: container "java" does not set "A", and setting it would replace what its image or "envFrom" may set; expected "base" to say what to prepend to, e.g. base: "" for nothing`,
    ],
    ...['configMapKeyRef', 'secretKeyRef', 'fileKeyRef', 'futureKeyRef'].map(
      (source): [string, string[], object, string] => [
        `where it comes from an optional ${source}`,
        [BASED],
        { env: [{ name: 'A', valueFrom: { [source]: { name: 's', key: 'k', optional: true } } }] },
        `${INVALID}: cannot append to "A" of container "java": its source is optional, and where it is missing the variable would read "$(ORAS_BASE_A)"; expected a source without "optional: true", or a value`,
      ],
    ),
    [
      'where the name for its source is taken',
      [APPEND],
      {
        env: [
          { name: 'A', valueFrom: SOURCE },
          { name: 'ORAS_BASE_A', value: '' },
        ],
      },
      `${INVALID}: cannot append to "A" of container "java": its source would go on as "ORAS_BASE_A", which the container has already; expected that to have another name`,
    ],
    [
      'where two entries set two values',
      [VALUE, '{name: A, value: w}'],
      {},
      `${SECOND}: "A" of container "java" has value "w" here and value "v" in ${KEY}["/0"].env[0]; expected one value`,
    ],
    [
      'where one sets it and the other appends',
      [VALUE, APPEND],
      {},
      `${SECOND}: "A" of container "java" has append "x" with separator ":" here and value "v" in ${KEY}["/0"].env[0]; expected "value" alone, or "append" and "prepend" with it as "base"`,
    ],
    [
      'where one appends and the other sets it',
      [APPEND, VALUE],
      {},
      `${SECOND}: "A" of container "java" has value "v" here and append "x" with separator ":" in ${KEY}["/0"].env[0]; expected "value" alone, or "append" and "prepend" with it as "base"`,
    ],
    [
      'where two entries want two separators',
      [APPEND, '{name: A, append: y, separator: ","}'],
      {},
      `${SECOND}: "A" of container "java" has append "y" with separator "," here and append "x" with separator ":" in ${KEY}["/0"].env[0]; expected one "separator"`,
    ],
    [
      'where two entries want two bases',
      [BASED, NO_BASE],
      {},
      `${SECOND}: "A" of container "java" has append "x" with separator ":" and base "" here and append "x" with separator ":" and base "b" in ${KEY}["/0"].env[0]; expected one "base"`,
    ],
    [
      'where the variables are no list',
      [VALUE],
      { env: [8] },
      'INVALID Invalid pod: spec.containers[0].env is not a list of objects',
    ],
  ])('%s', (_name, rules, container, message) => {
    expect(thrownBy(() => mutate(podOf(rules, container)))).toBe(message)
  })
})

test('the status names the variables that hold what the composition says', () => {
  const rules = [`${VALUE}, {name: PATH, append: /x}`, '{name: KEPT, value: v}']
  const env = [
    { name: 'PATH', value: '/bin' },
    { name: 'KEPT', value: 'mine' },
  ]
  const { pod } = mutate(podOf(rules, { env }))
  const { annotations } = pod['metadata'] as { annotations: Record<string, string> }
  expect(JSON.parse(annotations['oras.land/status'] ?? '').env).toStrictEqual([
    { container: 'java', names: ['A', 'PATH'] },
  ])
})
