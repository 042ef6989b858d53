import { describe, expect, test } from 'vitest'
import {
  bitString,
  boolean,
  context,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  tagged,
  time,
  utf8String,
} from '../../../webhook/self-signed/der.ts'

const bytes = (...values: readonly number[]) => Buffer.from(values)

describe('the distinguished encoding', () => {
  test.each([
    { what: 'true', written: boolean(true), hex: '0101ff' },
    { what: 'false', written: boolean(false), hex: '010100' },
    { what: 'zero', written: integer(bytes(0)), hex: '020100' },
    { what: 'a small number', written: integer(bytes(0, 0, 5)), hex: '020105' },
    {
      what: 'a number whose first bit is set, which is not negative',
      written: integer(bytes(0x80)),
      hex: '02020080',
    },
    { what: 'no bytes as zero', written: integer(bytes()), hex: '020100' },
    { what: 'bits, the last five unused', written: bitString(bytes(0xa0), 5), hex: '030205a0' },
    { what: 'bytes', written: octetString(bytes(1, 2)), hex: '04020102' },
    // X.690, 8.19.5 has the first one as its example.
    { what: 'an identifier', written: objectIdentifier('2.999.3'), hex: '0603883703' },
    {
      what: 'ecdsa-with-SHA256',
      written: objectIdentifier('1.2.840.10045.4.3.2'),
      hex: '06082a8648ce3d040302',
    },
    {
      what: 'an arc of 127 and of 128',
      written: objectIdentifier('1.2.127.128'),
      hex: '06042a7f8100',
    },
    { what: 'text', written: utf8String('é'), hex: '0c02c3a9' },
    {
      what: 'a sequence',
      written: sequence(boolean(true), integer(bytes(1))),
      hex: '30060101ff020101',
    },
    { what: 'nothing in a sequence', written: sequence(), hex: '3000' },
    { what: 'a set', written: set(integer(bytes(1))), hex: '3103020101' },
    { what: '[3] around a value', written: context(3, integer(bytes(1))), hex: 'a303020101' },
    {
      what: "[2] in place of a value's tag",
      written: context(2, bytes(0x61), 'primitive'),
      hex: '820161',
    },
  ])('has $what', ({ written, hex }) => {
    expect(written.toString('hex')).toBe(hex)
  })

  test.each([
    { length: 127, head: '047f' },
    { length: 128, head: '048180' },
    { length: 255, head: '0481ff' },
    { length: 256, head: '04820100' },
    { length: 65_536, head: '0483010000' },
  ])('writes a length of $length in as few bytes as it takes', ({ length, head }) => {
    const written = tagged(4, Buffer.alloc(length))
    expect(written.subarray(0, written.length - length).toString('hex')).toBe(head)
  })

  test.each([
    { date: '2026-01-02T03:04:05.678Z', tag: 0x17, text: '260102030405Z' },
    { date: '2049-12-31T23:59:59Z', tag: 0x17, text: '491231235959Z' },
    { date: '2050-01-01T00:00:00Z', tag: 0x18, text: '20500101000000Z' },
  ])('writes $date as RFC 5280 wants it', ({ date, tag, text }) => {
    expect(time(new Date(date))).toEqual(tagged(tag, Buffer.from(text)))
  })
})
