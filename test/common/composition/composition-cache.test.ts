import { expect, test } from 'vitest'
import { createCompositionCache } from '../../../common/composition/composition-cache.ts'
import { thrownBy } from '../../support/thrown.ts'

const artifacts = (tag: number) => ({ 'oras.land/artifacts': `/app: ghcr.io/acme/app:v${tag}` })
const tagOf = (parse: ReturnType<typeof createCompositionCache>, tag: number) =>
  parse(artifacts(tag)).entries[0]?.reference.tag

test('annotations that were read before are not read again, whatever other programs say', () => {
  const parse = createCompositionCache()
  const first = parse({ ...artifacts(1), 'example.com/x': '1' })
  expect(parse({ 'example.com/x': '2', ...artifacts(1), 'oras.land/status': '{}' })).toBe(first)
})

test('other annotations are others', () => {
  const parse = createCompositionCache()
  expect(tagOf(parse, 1)).toBe('v1')
  expect(tagOf(parse, 2)).toBe('v2')
  const [secret] = parse({ ...artifacts(1), 'oras.land/pull-secret': 'x' }).entries
  expect(secret?.pullSecret).toBe('x')
})

test('the longest unused goes first', () => {
  const parse = createCompositionCache(2)
  const one = parse(artifacts(1))
  const two = parse(artifacts(2))
  expect(parse(artifacts(1))).toBe(one)
  parse(artifacts(3))
  expect(parse(artifacts(1))).toBe(one)
  expect(parse(artifacts(2))).not.toBe(two)
})

test('what is refused is refused again', () => {
  const parse = createCompositionCache()
  const wrong = { 'oras.land/artifacts': 'x' }
  expect(thrownBy(() => parse(wrong))).toBe(thrownBy(() => parse(wrong)))
})
