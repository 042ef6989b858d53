/**
 * An object of a Kubernetes document as it came: raw JSON, so that fields this program does not know survive. (Typed
 * models drop them.)
 */
export type JsonObject = { readonly [key: string]: unknown }

/** Answers whether `value` is a JSON object: neither null nor a list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object at `key`, or undefined for anything else. */
export function objectAt(parent: JsonObject | undefined, key: string): JsonObject | undefined {
  const value = parent?.[key]
  return isJsonObject(value) ? value : undefined
}

/** The text at `key`, or undefined for anything else and for the empty string, which Go writes for nothing. */
export function textAt(parent: JsonObject | undefined, key: string): string | undefined {
  const value = parent?.[key]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Answers whether `true` stands at `key`. */
export function isTrueAt(parent: JsonObject | undefined, key: string): boolean {
  return parent?.[key] === true
}

/** The objects of the list at `key`; empty when there is no list of objects. */
export function objectsAt(parent: JsonObject | undefined, key: string): readonly JsonObject[] {
  const value = parent?.[key]
  return Array.isArray(value) && value.every(isJsonObject) ? value : []
}
