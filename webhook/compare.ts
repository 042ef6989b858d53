import jsonPatch, { type Operation } from 'fast-json-patch'
import { type JsonObject, objectAt } from './json.ts'

/**
 * Writes what {@link compose} changed as a JSON Patch (RFC 6902); empty when nothing did.
 *
 * Only the parts that composing may change are looked at: annotations, volumes, and the mounts and variables of containers.
 *
 * @param after what `compose` made of `before`
 */
export function compare(before: JsonObject, after: JsonObject): Operation[] {
  return before === after ? [] : jsonPatch.compare(composedParts(before), composedParts(after))
}

/** A pod with nothing but the parts that composing may change, at their places; an absent part stays absent. */
function composedParts(pod: JsonObject): JsonObject {
  const spec = objectAt(pod, 'spec')
  const metadata = objectAt(pod, 'metadata')
  return {
    ...(metadata !== undefined && { metadata: pick(metadata, 'annotations') }),
    ...(spec !== undefined && {
      spec: {
        ...pick(spec, 'volumes'),
        ...containerParts(spec, 'initContainers'),
        ...containerParts(spec, 'containers'),
      },
    }),
  }
}

function containerParts(spec: JsonObject, list: string): JsonObject {
  const containers = spec[list]
  if (!Array.isArray(containers)) return {}
  return {
    [list]: containers.map((container: JsonObject) => ({
      ...pick(container, 'volumeMounts'),
      ...pick(container, 'env'),
    })),
  }
}

function pick(parent: JsonObject, key: string): JsonObject {
  return Object.hasOwn(parent, key) ? { [key]: parent[key] } : {}
}
