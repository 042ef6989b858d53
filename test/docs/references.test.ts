import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { ATTRIBUTES } from '../../common/composition/attribute-name.ts'
import { decodeAttributes } from '../../common/composition/attributes.ts'
import { ANNOTATIONS, LIMITS } from '../../common/composition/composition.ts'
import { FIELD_NAMES } from '../../common/composition/entry-field.ts'
import { parsePolicy } from '../../common/policy/parse-policy.ts'
import { mutate } from '../../webhook/mutate.ts'
import {
  at,
  CHECKOUT,
  containerOf,
  objectIn,
  objectName,
  objectNamed,
  readBase,
} from '../manifests/manifest-objects.ts'
import { run } from '../support/command.ts'
import { thrownBy } from '../support/thrown.ts'
import { DOC_PAGES, readDoc, textOf } from './blocks.ts'
import { flagTable, referenceFlagsPage } from './reference-flags.ts'
import { sequenceSvg } from './sequence-svg.ts'
import { WAY_OF_A_POD } from './way-of-a-pod.ts'

describe('reference-annotations.md', () => {
  const page = readDoc('docs/reference-annotations.md')

  test('has the annotations and the fields, all of them, in the order of the code', () => {
    expect(firstColumn(section(page, 'Annotations'))).toEqual(Object.values(ANNOTATIONS))
    expect(firstColumn(section(page, 'Fields of an entry'))).toEqual(FIELD_NAMES)
  })

  test('has the fields of select, and no others', () => {
    const fields = firstColumn(section(page, 'Select'))
    const refused = thrownBy(() =>
      composed('- {reference: a.b/c:1, mountPath: /a, select: {x: 1}}'),
    )
    expect(fields).not.toEqual([])
    for (const field of fields) expect(refused).toContain(`"${field}"`)
    expect(refused.match(/"[a-zA-Z]+"(?=, | or |$)/g)?.length ?? 0).toBeGreaterThanOrEqual(
      fields.length,
    )
  })

  test('has the limits', () => {
    const rows = [...section(page, 'Limits').matchAll(/^\| ([a-z ]+?) +\| (\d+) +\|$/gm)]
    expect(rows.map(([, name, count]) => [name, Number(count)])).toEqual([
      ['entries of a pod', LIMITS.entriesPerPod],
      ['sources of a volume', LIMITS.sourcesPerVolume],
      ['bytes of the annotation', LIMITS.annotationBytes],
      ['bytes of attributes of a volume', LIMITS.attributeBytesPerVolume],
      ['globs of a list', LIMITS.globsPerList],
    ])
  })

  test('is right about what is added where nothing is said', () => {
    expect(composed('/app: ghcr.io/acme/app:v1').pod['spec']).toEqual({
      containers: [
        { name: 'app', volumeMounts: [{ name: 'oras-app', mountPath: '/app', readOnly: true }] },
        { name: 'istio-proxy' },
        { name: 'linkerd-proxy' },
      ],
      volumes: [
        {
          name: 'oras-app',
          csi: {
            driver: 'csi.oras.land',
            readOnly: true,
            volumeAttributes: { [ATTRIBUTES.reference]: 'ghcr.io/acme/app:v1' },
          },
        },
      ],
    })
  })

  test('is right about the paths that are denied', () => {
    const [text = ''] = section(page, 'Denied').split(' as a mount path')
    const paths = [...text.matchAll(/`(\/[a-z]*)`/g)].map(([, path]) => path ?? '')
    expect(paths).toHaveLength(5)
    for (const path of paths) {
      expect(thrownBy(() => composed(`"${path}": ghcr.io/acme/app:v1`))).toMatch(/^INVALID /)
    }
  })
})

describe('reference-attributes.md', () => {
  const page = readDoc('docs/reference-attributes.md')

  test('has the attributes, all of them, in the order of the code', () => {
    expect(firstColumn(page).filter((name) => name.startsWith('oras.'))).toEqual(
      Object.values(ATTRIBUTES),
    )
  })

  test('is right about what holds where an attribute is left out', () => {
    const rows = [...page.matchAll(/^\| `(oras\.[a-z.]+)` +\| .* \| `([a-z/]+)` +\|$/gm)]
    expect(rows.map(([, name]) => name)).toContain(ATTRIBUTES.unpack)
    const plain = { [ATTRIBUTES.reference]: 'ghcr.io/acme/app:v1' }
    for (const [, name = '', value = ''] of rows) {
      const said = decodeAttributes({ ...plain, [name]: value })
      const { source, ...rest } = normal(said)
      const without = normal(decodeAttributes(plain))
      expect({ source, ...rest }, name).toEqual(without)
    }
  })
})

describe('policy.md', () => {
  test('has the fields of a rule, and what holds where one is left out', () => {
    const fields = firstColumn(section(readDoc('docs/policy.md'), 'The file'))
    const head = 'apiVersion: csi.oras.land/v1alpha1\nkind: Policy\ndefault: deny\nrules:\n'
    const refused = thrownBy(() => parsePolicy(`${head}- {zzzzzzzz: 1}\n`))
    for (const field of fields) expect(refused).toContain(`"${field}"`)
    const [rule] = parsePolicy(`${head}- {name: x, effect: allow}\n`).rules
    expect(rule).toEqual({
      ...{ name: 'x', line: 5, effect: 'allow' },
      ...{ requireDigest: false, writable: true, plainHttp: false, insecureTls: false },
    })
  })
})

describe('reference-flags.md', { timeout: 120_000 }, () => {
  test('is what the programs say (else: node test/docs/write-reference-flags.ts)', async () => {
    expect(readDoc('docs/reference-flags.md')).toBe(await referenceFlagsPage())
  })

  test('is made of lines of a help text', () => {
    const help = [
      'Usage: x',
      '  --a NAME  what | it (is) (default b, or $C)',
      '  --dd      a switch (really)',
      '  --help    show this text',
    ].join('\n')
    expect(flagTable(help).split('\n').slice(2, 4)).toEqual([
      '| `--a`  | NAME  | what \\| it (is)   | `b`, or `$C` |',
      '| `--dd` |       | a switch (really) |              |',
    ])
  })

  test.each(DOC_PAGES)('%s names only flags that there are', async (page) => {
    const known = [...(await knownFlags())]
    const text = readDoc(page).replace(/^( *)```[\s\S]*?^\1```$/gm, '')
    const named = [...text.matchAll(/`--([a-z][a-z-]+)[=` ]/g)].map(([, name]) => name ?? '')
    expect(named.filter((name) => !known.includes(name))).toEqual([])
  })
})

describe('operations.md', () => {
  test('names metrics that there are, and the defaults of eviction', async () => {
    const page = readDoc('docs/operations.md')
    const names = [...page.matchAll(/`(oras_csi_[a-z_]+)`/g)].map(([, name]) => name ?? '')
    const sources = await run(
      'grep',
      ['-rhoE', "'oras_csi_[a-z_]+'", 'common', 'driver', 'webhook'],
      {
        cwd: CHECKOUT,
      },
    )
    expect(names.filter((name) => !sources.includes(`'${name}'`))).toEqual([])
    const flags = readDoc('docs/reference-flags.md')
    const shown = [...section(page, 'Eviction').matchAll(/^\| `(--[a-z-]+)` +\| (\S+) +\|/gm)].map(
      ([, name, value]) => [name, value],
    )
    const known = shown.map(([name]) => {
      const row = new RegExp(`^\\| \`${name}\` .* \`(\\S+)\` +\\|$`, 'm').exec(flags)
      return [name, row?.[1]]
    })
    expect(shown).toHaveLength(4)
    expect(shown).toEqual(known)
  })
})

describe('what pages say of the manifests', () => {
  test('install.md names what is brought', async () => {
    const names = (await readBase()).map(objectName)
    const table =
      section(readDoc('docs/install.md'), 'What it needs').split('What it brings:')[1] ?? ''
    const rows = [...table.matchAll(/^\| (.+?) +\| (.+?) +\| .* \|$/gm)].slice(2)
    const expected = rows.flatMap(([, what = '', where = '']) => brings(what, where))
    expect(expected).toHaveLength(6)
    expect(expected.filter((name) => !names.includes(name))).toEqual([])
  })

  test('operations.md has the memory that is asked for', async () => {
    const base = await readBase()
    const asked = [
      'Deployment oras-csi/oras-csi-webhook',
      'DaemonSet oras-csi-node/oras-csi-driver',
    ]
      .map((name) => objectIn(containerOf(objectNamed(base, name)), 'resources'))
      .map((resources) => ({
        memory: ['requests', 'limits'].map((kind) => at(resources, kind, 'memory')),
        cpu: at(resources, 'requests', 'cpu'),
      }))
    const text = section(readDoc('docs/operations.md'), 'What it needs')
    const row = (name: string) =>
      (new RegExp(`^\\| ${name} .*$`, 'm').exec(text)?.[0] ?? '').split('|').slice(2, 4)
    const memory = row('memory').map((cell) =>
      cell.replace(/ /g, '').replaceAll('iB', 'i').split(','),
    )
    const cpu = row('CPU').map((cell) => cell.trim())
    expect(memory.map((sizes, index) => ({ memory: sizes, cpu: cpu[index] }))).toEqual(asked)
  })

  test('opentelemetry.md shows the variable that comes out', () => {
    const template = objectIn(parse(textOf('composed/opentelemetry')), 'spec', 'template')
    const page = readDoc('docs/recipes/opentelemetry.md')
    const [, shown = ''] = /gets `JAVA_TOOL_OPTIONS=(.*)`/.exec(page) ?? []
    expect(at(mutate(template).pod, 'spec', 'containers', 0, 'env')).toEqual([
      { name: 'JAVA_TOOL_OPTIONS', value: shown },
      { name: 'OTEL_SERVICE_NAME', value: 'shop' },
    ])
  })
})

describe('way-of-a-pod.svg', () => {
  test('is what its text says (else: node test/docs/write-way-of-a-pod.ts)', async () => {
    const text = await readFile(join(CHECKOUT, WAY_OF_A_POD.text), 'utf8')
    const drawing = await readFile(join(CHECKOUT, WAY_OF_A_POD.drawing), 'utf8')
    expect(drawing).toBe(sequenceSvg(text, WAY_OF_A_POD.title))
  })

  test('is drawn in colour by programs that know no variables of CSS, such as librsvg', async () => {
    const drawing = await readFile(join(CHECKOUT, WAY_OF_A_POD.drawing), 'utf8')
    expect(drawing).toContain('.paper { fill: #ffffff }')
    expect(drawing).not.toContain('var(')
  })

  test('gives a text between two neighbours the room that it needs', () => {
    const gap = (text: string) => {
      const drawing = sequenceSvg(`participant a as A\nparticipant b as B\na->>b: ${text}`, 'x')
      const [, from, to] = /class="message" x1="(\d+)" y1="[\d.]+" x2="(\d+)"/.exec(drawing) ?? []
      return Number(to) - Number(from)
    }
    expect(gap('short')).toBe(150)
    // As DejaVu Sans has it at 13 pixels: 6.1 for a letter, on average.
    expect(gap('m'.repeat(60))).toBeGreaterThan(60 * 6.1)
    expect(() => sequenceSvg('participant a as A\na->>a: hello', 'x')).toThrow('has no room')
  })

  test('names who is not there', () => {
    expect(() => sequenceSvg('participant a as A\na->>b: hello', 'x')).toThrow('No participant "b"')
    expect(() => sequenceSvg('a => b', 'x')).toThrow('Not understood: a => b')
  })
})

function composed(artifacts: string) {
  const containers = ['app', 'istio-proxy', 'linkerd-proxy'].map((name) => ({ name }))
  return mutate({
    metadata: { annotations: { [ANNOTATIONS.artifacts]: artifacts } },
    spec: { containers },
  })
}

/** What a volume is, a wish that is said being the same as one that holds anyway. */
function normal({ sources, ...volume }: ReturnType<typeof decodeAttributes>) {
  const [source] = sources
  return {
    ...volume,
    writable: volume.writable ?? false,
    source: { ...source, unpack: source?.unpack ?? 'auto', modes: source?.modes ?? 'readable' },
  }
}

/** The objects of a row of install.md, as `objectName` names them. */
function brings(what: string, where: string): readonly string[] {
  const [, kind = '', name = ''] = /^(?:(\w+) )?`([^`]+)`$/.exec(what) ?? []
  const [, namespace] = /^namespace `([^`]+)`$/.exec(where) ?? []
  if (namespace !== undefined) return [`${kind} ${namespace}/${name}`]
  const kinds = where.includes('webhook configuration')
    ? ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']
    : [where]
  return kinds.map((own) => `${own} ${name}`)
}

/** What stands as code in the first column of tables. */
function firstColumn(text: string): readonly string[] {
  return [...text.matchAll(/^\| `([^`]+)`\s*\|/gm)].map(([, cell]) => cell ?? '')
}

function section(page: string, title: string): string {
  const found = page.split(/^## /m).find((part) => part.startsWith(`${title}\n`))
  if (found === undefined) throw new Error(`No section "${title}"`)
  return found
}

/** The flags of all programs, and those of others that pages speak of. */
async function knownFlags(): Promise<ReadonlySet<string>> {
  const cli = [
    'krm',
    'check',
    'lint',
    'preview',
    'pull',
    'inspect',
    'cache ls',
    'cache verify',
    'cache prune',
    'cache purge',
  ]
  const more = ['policy check', 'policy test', 'registry check']
  const commands = [
    ...['webhook/main.ts', 'driver/main.ts'].map((script) => [script]),
    ...[...cli, ...more].map((command) => ['cli/main.ts', ...command.split(' ')]),
  ]
  helps ??= Promise.all(
    commands.map((args) => run(process.execPath, [...args, '--help'], { cwd: CHECKOUT })),
  )
  const own = (await helps).flatMap((help) =>
    [...help.matchAll(/--([a-z-]+)/g)].map(([, name]) => name ?? ''),
  )
  return new Set([...own, ...OF_OTHERS])
}

let helps: Promise<string[]> | undefined

/** Of kubectl, helm, oras, the kubelet and the cluster autoscaler, and what stands for any flag. */
const OF_OTHERS = [
  ...[
    'set',
    'set-file',
    'plain-http',
    'root-dir',
    'enable-csi-node-aware-scheduling',
    'enable-alpha-plugins',
    'enable-exec',
  ],
  'name',
]
