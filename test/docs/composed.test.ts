import { expect, test } from 'vitest'
import { isAlias, parseAllDocuments } from 'yaml'
import { readWorkload } from '../../cli/workload.ts'
import { decodeAttributes } from '../../common/composition/attributes.ts'
import { ANNOTATIONS, DRIVER_NAME } from '../../common/composition/composition.ts'
import { isJsonObject, type JsonObject, objectAt, objectsAt, textAt } from '../../webhook/json.ts'
import { mutate } from '../../webhook/mutate.ts'
import { everyBlock } from './blocks.ts'

const blocks = [...everyBlock('composed')]

test.each(blocks)('composed/%s asks for artifacts without a denial or a warning', (_, { text }) => {
  const templates = documentsOf(text).flatMap(templateOf)
  expect(templates).not.toEqual([])
  const volumes = templates.flatMap((template) => {
    const { pod, warnings } = mutate(template, { origin: 'template' })
    expect(warnings).toEqual([])
    return objectsAt(objectAt(pod, 'spec'), 'volumes')
      .map((volume) => objectAt(volume, 'csi'))
      .filter((csi) => csi !== undefined)
  })
  expect(volumes).not.toEqual([])
  for (const csi of volumes) {
    expect(textAt(csi, 'driver')).toBe(DRIVER_NAME)
    const attributes = Object.entries(objectAt(csi, 'volumeAttributes') ?? {})
    const texts = attributes.map(([key, value]) => [key, String(value)])
    expect(decodeAttributes(Object.fromEntries(texts)).sources).not.toEqual([])
  }
})

function documentsOf(text: string): readonly JsonObject[] {
  return parseAllDocuments(text).map((document) => {
    expect(document.errors).toEqual([])
    expect(isAlias(document.contents)).toBe(false)
    const value: unknown = document.toJS()
    if (!isJsonObject(value)) throw new Error(`Not an object: ${text}`)
    return value
  })
}

/** The pod template of a workload; for annotations alone, a pod that has them; none for other kinds. */
function templateOf(document: JsonObject): readonly JsonObject[] {
  const workload = readWorkload(document)
  if (workload !== undefined) return [workload.template]
  if (textAt(document, 'kind') !== undefined) return []
  expect(Object.keys(document)).toContain(ANNOTATIONS.artifacts)
  return [{ metadata: { annotations: document }, spec: { containers: [{ name: 'app' }] } }]
}
