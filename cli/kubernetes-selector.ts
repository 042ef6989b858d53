import { type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'

/**
 * Answers whether a LabelSelector fits labels; an absent one fits all.
 *
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements
 */
export function matchesSelector(selector: JsonObject | undefined, labels: JsonObject): boolean {
  const exact = Object.entries(objectAt(selector, 'matchLabels') ?? {})
  return (
    exact.every(([key, value]) => labels[key] === value) &&
    objectsAt(selector, 'matchExpressions').every((expression) => matches(expression, labels))
  )
}

function matches(expression: JsonObject, labels: JsonObject): boolean {
  const label = textAt(expression, 'key')
  const value = label === undefined ? undefined : labels[label]
  const values = expression['values']
  const isListed = Array.isArray(values) && values.includes(value)
  switch (textAt(expression, 'operator')) {
    case 'In':
      return isListed
    case 'NotIn':
      return !isListed
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      return false
  }
}
