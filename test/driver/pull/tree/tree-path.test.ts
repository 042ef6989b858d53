import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isWithin, readTreePath } from '../../../../driver/pull/tree/tree-path.ts'

const forbidden = (detail: string) => ({ detail })

describe('readTreePath', () => {
  test.for([
    ['keeps a plain name', 'a.txt', 'a.txt'],
    ['keeps directories', 'a/b/c.txt', 'a/b/c.txt'],
    ['drops empty and "." components', './a//b/./c/', 'a/b/c'],
    ['takes "." for the root', '.', ''],
    ['keeps names beyond ASCII', 'Főtanúsítvány/模型.bin', 'Főtanúsítvány/模型.bin'],
    ['keeps names with leading dots', '..a/.../b..', '..a/.../b..'],
    ['keeps a component of 255 bytes', 'é'.repeat(127).concat('x'), 'é'.repeat(127).concat('x')],
    ['keeps 64 components', 'd/'.repeat(63).concat('f'), 'd/'.repeat(63).concat('f')],
  ] as const)('%s', ([, name, path]) => {
    expect(readTreePath(name)).toBe(path)
  })

  test.for([
    ['the empty name', '', forbidden('is empty')],
    ['an absolute name', '/etc/passwd', forbidden('is absolute; expected a relative path')],
    ['a name that goes up', '../a', forbidden('has ".." in it')],
    ['a name that goes up and comes back', 'a/../a', forbidden('has ".." in it')],
    ['a name that ends by going up', 'a/..', forbidden('has ".." in it')],
    ['NUL', 'a\0b', forbidden('has a control character')],
    ['a line feed', 'a\nb', forbidden('has a control character')],
    ['a C1 control character', 'a\u0085b', forbidden('has a control character')],
    ['half a surrogate pair', 'a\ud800', forbidden('is not valid Unicode')],
    [
      'a component of 256 bytes',
      'é'.repeat(128),
      forbidden('has a component of more than 255 bytes'),
    ],
    [
      'a path of more than 4096 bytes',
      'd'.repeat(200).concat('/').repeat(21),
      { limit: 'pathBytes', detail: 'is longer than 4096 bytes' },
    ],
    [
      '65 components',
      'd/'.repeat(64).concat('f'),
      { limit: 'depth', detail: 'is deeper than 64 directories' },
    ],
  ] as const)('refuses %s', ([, name, fault]) => {
    expect(readTreePath(name)).toEqual(fault)
  })

  test('gives relative paths without "..", and the same again when read twice', () => {
    const names = fc.string({ unit: fc.constantFrom('a', '.', '/', 'é', '\0') })
    fc.assert(
      fc.property(names, (name) => {
        const path = readTreePath(name)
        if (typeof path !== 'string' || path === '') return
        expect(path.split('/').filter((part) => ['', '.', '..'].includes(part))).toEqual([])
        expect(readTreePath(path)).toBe(path)
      }),
    )
  })
})

test('isWithin compares whole components', () => {
  expect(
    [
      ['a/b', 'a'],
      ['a', 'a'],
      ['a', ''],
      ['ab', 'a'],
      ['a', 'a/b'],
    ].map(([path = '', directory = '']) => isWithin(path, directory)),
  ).toEqual([true, true, true, false, false])
})
