import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { composedText } from '../../cli/composed-text.ts'
import { formatManifest, parseManifest } from '../../cli/manifest.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { composed, pods } from '../webhook/pod-arbitrary.ts'

function edited(text: string, after: JsonObject): string {
  const [document] = parseManifest('f', text).documents
  if (document === undefined) throw new Error(`No document: ${text}`)
  return composedText(document, after)
}

describe('a composed document', () => {
  test.each<[string, string, JsonObject, string]>([
    [
      'gets members after the last one',
      'a: 1 # one\n# end\n',
      { a: 1, b: { c: [2] } },
      'a: 1 # one\nb:\n  c:\n    - 2\n# end\n',
    ],
    [
      'gets them after one that goes on',
      'a:\n  b:\n  - c: |\n      x\n\n\n---\n',
      { a: { b: [{ c: 'x\n' }] }, d: 1 },
      'a:\n  b:\n  - c: |\n      x\nd: 1\n\n\n',
    ],
    [
      'keeps lines of text that end with empty ones',
      'a: |+ # why\n  x\n\n',
      { a: 'x\n\n', d: 1 },
      'a: |+ # why\n  x\n\nd: 1\n',
    ],
    [
      'keeps the dashes where they stand',
      'a:\n- x: 1\n',
      { a: [{ x: 1 }, { w: [2] }] },
      'a:\n- x: 1\n- w:\n  - 2\n',
    ],
    [
      'keeps wide indentation',
      'a:\n    b:\n        - x: 1\n',
      { a: { b: [{ x: 1, w: { z: [2] } }] } },
      'a:\n    b:\n        - x: 1\n          w:\n              z:\n                  - 2\n',
    ],
    [
      'gets items between others',
      'a:\n- name: x\n# about u\n- name: u\n',
      { a: [{ name: 'x' }, { name: 'v' }, { name: 'u' }] },
      'a:\n- name: x\n# about u\n- name: v\n- name: u\n',
    ],
    [
      'gets other texts',
      "a:\n- {name: x, value: 'y'} # why\n",
      { a: [{ name: 'x', value: 'no' }] },
      'a:\n- {name: x, value: "no"} # why\n',
    ],
    [
      'gets another text for a block',
      'a: |\n  x\n# c\nb: 1\n',
      { a: 'w', b: 1 },
      'a: w\n# c\nb: 1\n',
    ],
    [
      'fills what is empty',
      'a: # why\nb: []  # none\nc: null\nd: ~\n',
      { a: [1], b: [2], c: { x: 3 }, d: [4] },
      'a: # why\n  - 1\nb:  # none\n  - 2\nc:\n  x: 3\nd:\n  - 4\n',
    ],
    [
      'fills what is empty in braces',
      '{a: , b: [], c: {}}\n',
      { a: [1], b: [2], c: { x: 3 } },
      '{a: [1], b: [2], c: {x: 3}}\n',
    ],
    [
      'gets members within braces',
      '{a: {b: 1}, # c\n c: [x,],}\n',
      { a: { b: 1, d: 'a, b' }, c: ['x', 'w'], e: true },
      '{a: {b: 1, d: "a, b"}, # c\n c: [x, w,], e: true,}\n',
    ],
    [
      'gets items before others within brackets',
      'a: [{name: x}]\n',
      { a: [{ name: 'v' }, { name: 'x' }] },
      'a: [{name: v}, {name: x}]\n',
    ],
    ['without a line end gets one', 'a: 1', { a: 1, b: 2 }, 'a: 1\nb: 2\n'],
    [
      'keeps Windows line ends',
      'a: 1\r\nb: 2\r\n',
      { a: 1, b: 2, c: 3 },
      'a: 1\r\nb: 2\r\nc: 3\r\n',
    ],
    [
      'writes what stands for something else to older readers in quotes',
      'a: 1\n',
      { a: 1, b: 'yes', c: '0644' },
      'a: 1\nb: "yes"\nc: "0644"\n',
    ],
    [
      'that is JSON stays JSON, with its indentation',
      '---\n{\n    "a": 1}\n',
      { a: 1, b: [2] },
      '---\n{\n    "a": 1,\n    "b": [\n        2\n    ]\n}\n',
    ],
    ['that is JSON on one line stays on it', '{"a":1}', { a: 1, b: 2 }, '{"a":1,"b":2}\n'],
    [
      'is written anew where an alias would change, too',
      '---\na: &x {p: 1}\nb: *x # c\n',
      { a: { p: 1 }, b: { p: 1, q: 2 } },
      '---\na:\n  p: 1\nb:\n  p: 1\n  q: 2\n',
    ],
    [
      'is written anew where an anchor would change, too',
      'a: &x {p: 1}\nb: *x # c\n',
      { a: { p: 1, q: 2 }, b: { p: 1 } },
      'a:\n  p: 1\n  q: 2\nb:\n  p: 1\n',
    ],
    ['is written anew where members go', 'a: 1\nb: 2 # c\n', { a: 1 }, 'a: 1\n'],
    [
      'is written anew where members come by a merge key',
      'a: &x {p: [1]}\nb: {<<: *x}\n',
      { a: { p: [1] }, b: { p: [1, 2] } },
      'a:\n  p:\n    - 1\nb:\n  p:\n    - 1\n    - 2\n',
    ],
  ])('%s', (_name, text, after, expected) => {
    expect(edited(text, after)).toBe(expected)
  })

  const layouts = fc.record({
    indent: fc.integer({ min: 1, max: 5 }),
    indentSeq: fc.boolean(),
    collectionStyle: fc.constantFrom('any', 'block', 'flow'),
    defaultStringType: fc.constantFrom('PLAIN', 'QUOTE_DOUBLE', 'QUOTE_SINGLE', 'BLOCK_LITERAL'),
    lineWidth: fc.constantFrom(0, 40),
  } as const)

  test('reads as it should, whatever the layout, and is as it was but for additions nearly always', () => {
    let kept = 0
    let all = 0
    fc.assert(
      fc.property(pods, layouts, (pod, layout) => {
        const text = stringify(pod, { ...layout, compat: 'yaml-1.1', aliasDuplicateObjects: false })
        const [before] = parseManifest('f', text).documents
        const after = before?.object && composed(before.object)
        if (after === undefined) return
        const result = edited(text, after)
        expect(parseManifest('f', result).documents.map(({ object }) => object)).toStrictEqual([
          after,
        ])
        // A reader that sees the same object sees the same pod.
        expect(edited(result, after)).toBe(result)
        all++
        if (result !== formatManifest(after)) kept++
      }),
      { numRuns: 200 },
    )
    expect(kept / all).toBeGreaterThan(0.8)
  })
})
