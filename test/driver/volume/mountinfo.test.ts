import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseMountinfo, readMounts } from '../../../driver/volume/mountinfo.ts'

test('a line becomes an entry, with and without optional fields', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue',
    '37 35 0:5 / /dev ro - devtmpfs udev rw',
    '',
  ].join('\n')
  expect(parseMountinfo(text)).toEqual([
    {
      id: 36,
      device: '98:0',
      root: '/mnt1',
      mountPoint: '/mnt2',
      options: ['rw', 'noatime'],
      fileSystem: 'ext3',
    },
    {
      id: 37,
      device: '0:5',
      root: '/',
      mountPoint: '/dev',
      options: ['ro'],
      fileSystem: 'devtmpfs',
    },
  ])
})

test('of an overlay, the directories it was mounted with', () => {
  const text = [
    '38 35 0:50 / /a rw,nosuid - overlay overlay rw,lowerdir=/l\\054x,upperdir=/u\\040v,workdir=/w,uuid=on',
    '39 35 0:51 / /b ro - overlay overlay ro,lowerdir=/one:/two',
    '40 35 0:52 / /c ro - overlay overlay',
  ].join('\n')
  expect(parseMountinfo(text).map(({ overlay }) => overlay)).toEqual([
    { lower: '/l,x', upper: '/u v' },
    { lower: '/one:/two', upper: '' },
    { lower: '', upper: '' },
  ])
})

test('space, tab, newline and backslash in names are decoded', () => {
  const line = '36 35 98:0 /a\\040b /c\\011d\\012e\\134f rw - ext4 /dev/x rw'
  expect(parseMountinfo(line)).toMatchObject([{ root: '/a b', mountPoint: '/c\td\ne\\f' }])
})

test('what is no line of mountinfo is left out, whatever it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      for (const { mountPoint } of parseMountinfo(text)) expect(mountPoint).toBeTypeOf('string')
    }),
  )
})

test('the mounts of this process are read', async () => {
  expect(readMounts().some(({ mountPoint }) => mountPoint === '/proc')).toBe(true)
})
