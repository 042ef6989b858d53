import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readWorkload } from '../../cli/workload.ts'
import { ATTRIBUTES } from '../../common/composition/attribute-name.ts'
import { decodeAttributes } from '../../common/composition/attributes.ts'
import { DRIVER_NAME } from '../../common/composition/composition.ts'
import { formatReference } from '../../common/oci/reference.ts'
import { type JsonObject, objectAt, objectsAt, textAt } from '../../webhook/json.ts'
import { mutate } from '../../webhook/mutate.ts'
import { at, CHECKOUT, objectIn, readObjects, yamlFiles } from './manifest-objects.ts'

const files = await yamlFiles('examples')

describe('the examples', () => {
  test('are a Deployment, an indexed Job and a pod without the webhook', () => {
    expect(files).toEqual(['csi-volume.yaml', 'java.yaml', 'job.yaml'])
  })

  test.each(files)('%s asks for what its comment pushes, without a warning', async (file) => {
    const [object, ...others] = await readObjects(`examples/${file}`)
    expect(others).toEqual([])
    const workload = readWorkload(object ?? {})
    const { pod, warnings } = mutate(workload?.template ?? {})
    expect(warnings).toEqual([])
    const volumes = objectsAt(objectAt(pod, 'spec'), 'volumes').map((volume) => {
      expect(at(volume, 'csi', 'driver')).toBe(DRIVER_NAME)
      expect(at(volume, 'csi', 'readOnly')).toBe(true)
      return volume
    })
    const references = volumes.map((volume) => referenceOf(volume))
    const text = await readFile(join(CHECKOUT, 'manifests/examples', file), 'utf8')
    const pushed = [...text.matchAll(/^#\s+oras push (\S+) \S+/gm)].map(([, name]) => name)
    expect(references).toEqual(pushed)
    expect(references).toHaveLength(1)
    expect(mountsOf(pod)).toEqual(volumes.map((volume) => textAt(volume, 'name')))
  })

  test('describe every volume attribute of this version', async () => {
    const text = await readFile(join(CHECKOUT, 'manifests/examples/README.md'), 'utf8')
    const rows = [...text.matchAll(/^\| `([^`]+)`\s*\|/gm)].map(([, name]) => name)
    expect(rows).toEqual(Object.values(ATTRIBUTES))
  })
})

function referenceOf(volume: JsonObject): string {
  const attributes = Object.entries(objectIn(volume, 'csi', 'volumeAttributes'))
  return decodeAttributes(
    Object.fromEntries(attributes.map(([key, value]) => [key, String(value)])),
  )
    .sources.map(({ reference }) => formatReference(reference))
    .join()
}

/** The volumes that the containers mount, each once. */
function mountsOf(pod: JsonObject): readonly unknown[] {
  const containers = objectsAt(objectAt(pod, 'spec'), 'containers')
  const names = containers.flatMap((container) =>
    objectsAt(container, 'volumeMounts').map(({ name }) => name),
  )
  return [...new Set(names)]
}
