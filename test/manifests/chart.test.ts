import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { isJsonObject, type JsonObject, objectAt } from '../../webhook/json.ts'
import { at, CHECKOUT, readBase } from './manifest-objects.ts'

// What it makes, test/peers/chart.peer.ts compares with the manifests, by the real Helm.

const CHART = join(CHECKOUT, 'chart')
const read = (name: string) => readFile(join(CHART, name), 'utf8')
const chart: JsonObject = parse(await read('Chart.yaml'))
const valuesText = await read('values.yaml')
const values: JsonObject = parse(valuesText)
const schema: JsonObject = JSON.parse(await read('values.schema.json'))

describe('the chart', () => {
  test('has the version of the project, and runs it', async () => {
    const { version } = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8'))
    expect([chart['version'], chart['appVersion']]).toEqual([version, version])
    const kustomization = parse(
      await readFile(join(CHECKOUT, 'manifests/base/kustomization.yaml'), 'utf8'),
    )
    expect(at(values, 'image', 'repository')).toBe(at(kustomization, 'images', 0, 'newName'))
    expect(at(kustomization, 'images', 0, 'newTag')).toBe(version)
    expect([at(values, 'image', 'tag'), at(values, 'image', 'digest')]).toEqual(['', ''])
  })

  test('has a default for every value that its schema knows, and no others', () => {
    const known = keysOf(schema).filter((key) => key !== 'global')
    expect(known).toEqual(valueKeys(values, schema))
  })

  test('knows every object of its schema to the last field', () => {
    const open = objectsOf(schema).filter(
      ([, part]) =>
        part['additionalProperties'] === undefined && objectAt(part, 'properties') !== undefined,
    )
    expect(open.map(([path]) => path)).toEqual([])
  })

  test('has a comment at every group of values', () => {
    const groups = [...valuesText.matchAll(/^(.*)\n([a-zA-Z]+):/gm)]
    expect(groups.map(([, , name]) => name)).toEqual(Object.keys(values))
    for (const [, line, name] of groups)
      expect([name, line]).toEqual([name, expect.stringMatching(/^#/)])
  })

  test('has the resources of the base as its defaults', async () => {
    const base = await readBase()
    for (const [kind, name] of [
      ['Deployment', 'webhook'],
      ['DaemonSet', 'driver'],
    ] as const) {
      const object = base.find((candidate) => candidate['kind'] === kind)
      expect(at(values, name, 'resources')).toEqual(
        at(object, 'spec', 'template', 'spec', 'containers', 0, 'resources'),
      )
    }
  })

  test('names no namespace but by its values', async () => {
    for (const file of await readdir(join(CHART, 'templates'))) {
      const text = await read(`templates/${file}`)
      const fixed = [...text.matchAll(/^ *namespace: (?!\{\{).*/gm)].map(([line]) => line)
      expect([file, fixed]).toEqual([file, []])
    }
  })
})

/** The paths of a schema's values, e.g. `image.tag`; a map that a reader fills is one value. */
function keysOf(part: JsonObject, path = ''): readonly string[] {
  const properties = objectAt(part, 'properties')
  if (properties === undefined) return [path]
  return Object.entries(properties).flatMap(([key, value]) =>
    isJsonObject(value) ? keysOf(value, path === '' ? key : `${path}.${key}`) : [],
  )
}

/** The paths of values, as deep as the schema goes. */
function valueKeys(part: unknown, known: JsonObject | undefined, path = ''): readonly string[] {
  const properties = objectAt(known, 'properties')
  if (!isJsonObject(part) || (path !== '' && properties === undefined)) return [path]
  return Object.entries(part).flatMap(([key, value]) =>
    valueKeys(value, objectAt(properties, key) ?? {}, path === '' ? key : `${path}.${key}`),
  )
}

function objectsOf(part: unknown, path = ''): readonly (readonly [string, JsonObject])[] {
  if (!isJsonObject(part)) return []
  return [
    [path, part] as const,
    ...Object.entries(part).flatMap(([key, value]) => objectsOf(value, `${path}/${key}`)),
  ]
}
