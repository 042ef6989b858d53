import { expect, test } from 'vitest'
import { innermost, isWithin, reachOf } from '../../../common/oci/address.ts'

test.each([
  ['93.184.216.34', 'public'],
  ['2606:2800:220:1::1', 'public'],
  ['64:ff9b::5db8:d822', 'public'],
  ['10.1.2.3', 'private'],
  ['172.31.0.1', 'private'],
  ['172.32.0.1', 'public'],
  ['192.168.1.1', 'private'],
  ['100.64.0.1', 'private'],
  ['fd12::1', 'private'],
  ['::ffff:10.0.0.1', 'private'],
  ['127.0.0.1', 'local'],
  ['127.9.9.9', 'local'],
  ['0.0.0.0', 'local'],
  ['::', 'local'],
  ['::1', 'local'],
  ['0:0:0:0:0:0:0:1', 'local'],
  ['::ffff:127.0.0.1', 'local'],
  ['::ffff:7f00:1', 'local'],
  ['64:ff9b::7f00:1', 'local'],
  ['64:ff9b::169.254.169.254', 'link'],
  ['2002:7f00:1::', 'link'],
  // Other ways to write an IPv4 address into an IPv6 one.
  ['64:ff9b:1::7f00:1', 'link'],
  ['64:ff9b:1:ffff::a00:1', 'link'],
  ['::127.0.0.1', 'local'],
  ['::10.0.0.1', 'private'],
  ['::169.254.169.254', 'link'],
  ['::93.184.216.34', 'public'],
  ['::ffff:0:169.254.169.254', 'link'],
  ['::ffff:0.0.127.0', 'local'],
  ['::255.255.127.0', 'link'],
  ['64:ff9b:2::7f00:1', 'public'],
  ['169.254.169.254', 'link'],
  ['fe80::1%eth0', 'link'],
  ['fd00:ec2::254', 'link'],
  ['100.100.100.200', 'link'],
  ['168.63.129.16', 'link'],
  ['224.0.0.1', 'link'],
  ['255.255.255.255', 'link'],
  ['ff02::1', 'link'],
  ['not an address', 'link'],
] as const)('%s is %s', (address, reach) => {
  expect(reachOf(address)).toBe(reach)
})

test('reaches are ordered', () => {
  expect([
    isWithin('public', 'private'),
    isWithin('local', 'private'),
    isWithin('local', 'local'),
    isWithin('link', 'local'),
    innermost('public', 'private'),
    innermost('local', 'private'),
  ]).toStrictEqual([true, false, true, false, 'private', 'local'])
})
