import { describe, expect, test } from 'vitest'
import { parseAnnotations } from '../../../common/composition/annotations.ts'
import { thrownBy } from '../../support/thrown.ts'

const KEY = 'oras.land/artifacts'
const PREFIX = '/app: {reference: ghcr.io/acme/app:v1, select: '
const parse = (select: string) => parseAnnotations({ [KEY]: `${PREFIX}${select}}` }).entries[0]

describe('the field select', () => {
  test.each([
    ['{mediaTypes: ["*"]}', { mediaTypes: ['*'] }],
    ['{annotations: {a: "*"}}', { annotations: { a: ['*'] } }],
    ['{annotations: {"a b=c": ["x,y", z]}}', { annotations: { 'a b=c': ['x,y', 'z'] } }],
    ['{files: ["!docs/"]}', { files: ['!docs/'] }],
  ])('reads %s', (text, select) => {
    expect(parse(text)?.select).toStrictEqual(select)
  })

  test.each<[text: string, path: string, column: number, why: string]>([
    [
      '"*.jar"',
      '',
      1,
      'found "*.jar"; expected a mapping with "mediaTypes", "annotations" or "files", e.g. {files: ["*.jar"]}',
    ],
    ['{}', '', 1, 'found an empty mapping; leave it away to select everything'],
    ['{file: ["*.jar"]}', '.file', 2, 'unknown field "file"; did you mean "files"?'],
    [
      '{mediatypes: []}',
      '.mediatypes',
      2,
      'unknown field "mediatypes"; did you mean "mediaTypes"?',
    ],
    [
      '{constructor: 1}',
      '.constructor',
      2,
      'unknown field "constructor"; expected "mediaTypes", "annotations" or "files"',
    ],
    [
      '{files: "*.jar"}',
      '.files',
      9,
      'found "*.jar"; expected a list, e.g. ["*.jar", "!*-sources.jar"]',
    ],
    ['{files: []}', '.files', 9, 'found an empty list; leave it away to select everything'],
    ['{files: [8]}', '.files[0]', 10, 'found the number 8; expected text: put it in quotes, "8"'],
    [
      '{files: [a, "*.{jar,war}"]}',
      '.files[1]',
      13,
      'found "*.{jar,war}", but gitignore has no "{a,b}"; expected a glob for each, or "\\\\{" for the character',
    ],
    [
      '{mediaTypes: [jar]}',
      '.mediaTypes[0]',
      15,
      'found "jar"; expected a media type, e.g. "text/plain", or with "*", e.g. "text/*"',
    ],
    [
      '{mediaTypes: ["a/b/*"]}',
      '.mediaTypes[0]',
      15,
      'found "a/b/*", which cannot match a media type; expected e.g. "text/*"',
    ],
    [
      '{annotations: [a]}',
      '.annotations',
      15,
      'found a list; expected a mapping from annotation to glob, e.g. {com.acme.kind: "plugin-*"}',
    ],
    [
      '{annotations: {}}',
      '.annotations',
      15,
      'found an empty mapping; leave it away to select everything',
    ],
    ['{annotations: {a: ""}}', '.annotations.a', 19, 'found an empty string; expected text'],
    [
      '{annotations: {a: []}}',
      '.annotations.a',
      19,
      'found an empty list; leave it away to select everything',
    ],
    ['{annotations: {a: {b: c}}}', '.annotations.a', 19, 'found a mapping; expected text'],
    [
      '{annotations: {"": x}}',
      '.annotations[""]',
      16,
      'found an empty key; expected the name of an annotation',
    ],
    [
      '{annotations: {__proto__: x}}',
      '.annotations["__proto__"]',
      16,
      'found the key "__proto__"; expected the name of an annotation',
    ],
    [
      `{files: [${Array.from({ length: 65 }, () => 'x').join(', ')}]}`,
      '.files',
      9,
      'found 65 items; expected at most 64',
    ],
  ])('refuses %s', (text, path, column, why) => {
    expect(thrownBy(() => parse(text))).toBe(
      `INVALID Invalid ${KEY}["/app"].select${path} (line 1, column ${PREFIX.length + column}): ${why}`,
    )
  })
})
