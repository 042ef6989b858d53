import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readManifestFile } from '../../cli/manifest-file.ts'
import { isJsonObject, type JsonObject, objectAt, objectsAt, textAt } from '../../webhook/json.ts'

/** The checkout, with a slash at its end. */
export const CHECKOUT = new URL('../../', import.meta.url).pathname

/** Reads the objects of a file below `manifests/`, as kubectl does. */
export async function readObjects(path: string): Promise<readonly JsonObject[]> {
  const file = await readManifestFile(join(CHECKOUT, 'manifests', path), async () => '')
  return file.objects
}

/** Lists the YAML files of a folder of `manifests/`, by name. */
export async function yamlFiles(folder: string): Promise<string[]> {
  const names = await readdir(join(CHECKOUT, 'manifests', folder))
  return names.filter((name) => name.endsWith('.yaml')).sort()
}

/** Reads every object of the base, as the files have them. */
export async function readBase(): Promise<readonly JsonObject[]> {
  const files = (await yamlFiles('base')).filter((name) => name !== 'kustomization.yaml')
  return (await Promise.all(files.map((name) => readObjects(`base/${name}`)))).flat()
}

/** `Kind namespace/name`, or `Kind name`. */
export function objectName(object: JsonObject): string {
  const metadata = objectAt(object, 'metadata')
  const namespace = textAt(metadata, 'namespace')
  const name = textAt(metadata, 'name') ?? '?'
  return `${textAt(object, 'kind')} ${namespace === undefined ? name : `${namespace}/${name}`}`
}

/** The one object with this {@link objectName}. @throws when there is none */
export function objectNamed(objects: readonly JsonObject[], name: string): JsonObject {
  const found = objects.find((object) => objectName(object) === name)
  if (found === undefined) {
    throw new Error(`No ${name}; there are ${objects.map(objectName).join(', ')}`)
  }
  return found
}

/** What stands at a path of keys and indices, e.g. `at(pod, 'spec', 'containers', 0)`. @throws when nothing does */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((parent, key) => {
    const child =
      typeof key === 'number'
        ? Array.isArray(parent) && parent[key]
        : isJsonObject(parent) && parent[key]
    if (child === undefined || child === false) {
      throw new Error(`Nothing at ${path.join('.')}: no ${key}`)
    }
    return child
  }, value)
}

/** The object that stands at a path. @throws when something else does */
export function objectIn(value: unknown, ...path: readonly (string | number)[]): JsonObject {
  const found = at(value, ...path)
  if (!isJsonObject(found)) throw new Error(`No object at ${path.join('.')}`)
  return found
}

/** The container of a workload that has one. */
export function containerOf(workload: JsonObject): JsonObject {
  const template = objectAt(objectAt(workload, 'spec'), 'template')
  const [container, ...others] = objectsAt(objectAt(template, 'spec'), 'containers')
  if (container === undefined || others.length > 0) throw new Error('Expected one container')
  return container
}

/** The arguments of a container: the script, then the values of its flags by name. */
export function argsOf(container: JsonObject): {
  readonly script: string
  readonly flags: ReadonlyMap<string, string>
  readonly all: readonly string[]
} {
  const all = Array.isArray(container['args']) ? container['args'].map(String) : []
  const [script = '', ...rest] = all
  const flags = new Map(
    rest.map((arg) => {
      const match = /^--([a-z-]+)=(.*)$/.exec(arg)
      if (match?.[1] === undefined || match[2] === undefined) throw new Error(`No flag: ${arg}`)
      return [match[1], match[2]] as const
    }),
  )
  return { script, flags, all }
}
