import { expect, test } from 'vitest'
import { matchesSelector } from '../../cli/kubernetes-selector.ts'

const LABELS = { app: 'web', tier: 'front' }

function expression(key: string, operator: string, ...values: readonly string[]) {
  return { matchExpressions: [{ key, operator, ...(values.length > 0 && { values }) }] }
}

test.for([
  ['nothing is asked', undefined, true],
  ['an empty one', {}, true],
  ['the same label', { matchLabels: { app: 'web' } }, true],
  ['another value', { matchLabels: { app: 'db' } }, false],
  ['In, with it', expression('app', 'In', 'db', 'web'), true],
  ['In, without it', expression('app', 'In', 'db'), false],
  ['In, of a label that is not there', expression('zone', 'In', 'a'), false],
  ['NotIn, with it', expression('app', 'NotIn', 'web'), false],
  ['NotIn, of a label that is not there', expression('zone', 'NotIn', 'a'), true],
  ['Exists', expression('tier', 'Exists'), true],
  ['Exists, of a label that is not there', expression('zone', 'Exists'), false],
  ['DoesNotExist', expression('zone', 'DoesNotExist'), true],
  ['DoesNotExist, of one that is there', expression('tier', 'DoesNotExist'), false],
  ['an operator that there is not', expression('app', 'Like', 'web'), false],
  ['both kinds', { matchLabels: { app: 'web' }, ...expression('tier', 'In', 'back') }, false],
] as const)('labels fit: %s: %s', ([, selector, fits]) => {
  expect(matchesSelector(selector, LABELS)).toBe(fits)
})
