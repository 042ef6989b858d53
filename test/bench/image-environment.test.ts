import { expect, test } from 'vitest'
import { imageEnvironment } from './image-environment.ts'

test('our processes are measured with what the image sets, paths of the image left out', () => {
  expect(imageEnvironment('FROM a\nENV A=1 B=x=y\nRUN true\nENV CACHE=/var/cache\n')).toEqual({
    A: '1',
    B: 'x=y',
  })
})

test('the image keeps heaps few and small', () => {
  expect(imageEnvironment()).toEqual({
    NODE_ENV: 'production',
    MALLOC_ARENA_MAX: '2',
    NODE_OPTIONS: '--max-semi-space-size=8',
  })
})
