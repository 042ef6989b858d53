import { isJsonObject, type JsonObject } from '../../webhook/json.ts'
import { objectName } from './manifest-objects.ts'

/**
 * Tells how objects differ from others: `+ Kind namespace/name` for one that came, `- Kind namespace/name` for one that went, and for the
 * fields of the rest `Kind namespace/name: path = new value` (`path gone` when it has none). Elements of a list that have a name or mount
 * path are compared by it, wherever they stand.
 */
export function objectChanges(
  before: readonly JsonObject[],
  after: readonly JsonObject[],
): readonly string[] {
  const old = new Map(before.map((object) => [objectName(object), object]))
  const now = new Map(after.map((object) => [objectName(object), object]))
  const came = [...now.keys()].filter((name) => !old.has(name)).map((name) => `+ ${name}`)
  const went = [...old.keys()].filter((name) => !now.has(name)).map((name) => `- ${name}`)
  const changed = [...now].flatMap(([name, object]) =>
    old.has(name) ? valueChanges(old.get(name), object).map((line) => `${name}: ${line}`) : [],
  )
  return [...came.sort(), ...went.sort(), ...changed.sort()]
}

function valueChanges(before: unknown, after: unknown, path = ''): readonly string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  if (after === undefined) return [`${path} gone`]
  const [old, now] = [partsOf(before), partsOf(after)]
  if (old === undefined || now === undefined) return [`${path} = ${JSON.stringify(after)}`]
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((key) =>
    valueChanges(old.get(key), now.get(key), path === '' ? key : `${path}.${key}`),
  )
}

/** The fields of an object, or the elements of a list by what names them; undefined for anything else. */
function partsOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (isJsonObject(value)) return new Map(Object.entries(value))
  if (!Array.isArray(value)) return undefined
  const parts = new Map(
    value.map((element, index): [string, unknown] => {
      if (!isJsonObject(element)) return [String(element), element]
      const { mountPath, name } = element
      return [String(mountPath ?? name ?? index), element]
    }),
  )
  return parts.size === value.length ? parts : undefined
}
