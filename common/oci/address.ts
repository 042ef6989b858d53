import { BlockList, isIP } from 'node:net'

/**
 * How far inside an address is: on the internet; on a private network, where in-house registries are; on this node (loopback); or on its
 * link (link-local, multicast, cloud metadata). With the last two nobody but the node's admin has business, and with the last one nobody
 * whom he has not named: a mirror on loopback does not lead there.
 */
export type Reach = 'public' | 'private' | 'local' | 'link'

const LOCAL = blockList([
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  // Unspecified and loopback.
  ['::', 127],
])

const LINK = blockList([
  ['169.254.0.0', 16],
  ['192.0.0.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  // Metadata services outside the link-local range: Alibaba, Azure, AWS and Google over IPv6.
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['fd00:ec2::254', 128],
  ['fd20:ce::254', 128],
  // Link-local, multicast; 6to4 carries any IPv4 address, and local NAT64 (RFC 8215) too, at a place that the network chooses.
  ['fe80::', 10],
  ['ff00::', 8],
  ['2002::', 16],
  ['64:ff9b:1::', 48],
])

const PRIVATE = blockList([
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['fc00::', 7],
  ['fec0::', 10],
])

/** Classifies an IPv4 or IPv6 address; what is no address counts as the innermost. */
export function reachOf(address: string): Reach {
  const plain = embeddedV4(address.replace(/%.*$/, ''))
  const family = isIP(plain)
  if (family === 0) return 'link'
  const type = family === 4 ? 'ipv4' : 'ipv6'
  if (LINK.check(plain, type)) return 'link'
  if (LOCAL.check(plain, type)) return 'local'
  return PRIVATE.check(plain, type) ? 'private' : 'public'
}

/** Answers whether an address of class `reach` may be contacted where `allowed` is the innermost that may. */
export function isWithin(reach: Reach, allowed: Reach): boolean {
  return DEPTH[reach] <= DEPTH[allowed]
}

/** The innermost of two. */
export function innermost(a: Reach, b: Reach): Reach {
  return isWithin(a, b) ? b : a
}

const DEPTH = { public: 0, private: 1, local: 2, link: 3 } satisfies Record<Reach, number>

/** What stands before an IPv4 address: mapped, translated (SIIT), NAT64 (`64:ff9b::/96`, RFC 6052), compatible (`::a.b.c.d`, withdrawn). */
const V4_PREFIXES = ['0:0:0:0:0:ffff', '0:0:0:0:ffff:0', '64:ff9b:0:0:0:0', '0:0:0:0:0:0']

/** The IPv4 address inside an IPv6 one that carries it; other addresses as they are. */
function embeddedV4(address: string): string {
  if (isIP(address) !== 6) return address
  // The URL parser writes every spelling of an IPv6 address in one form.
  const canonical = URL.parse(`http://[${address}]`)?.hostname.slice(1, -1) ?? address
  const groups = groupsOf(canonical)
  if (!V4_PREFIXES.includes(groups.slice(0, 6).join(':'))) return address
  const [high = 0, low = 0] = groups.slice(6).map((group) => Number.parseInt(group, 16))
  const value = high * 65536 + low
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
}

/** All eight, e.g. `['0', …, '1']` for `::1`. */
function groupsOf(canonical: string): readonly string[] {
  const [head = [], tail = []] = canonical
    .split('::')
    .map((part) => part.split(':').filter((group) => group !== ''))
  const zeros: readonly string[] = Array(Math.max(8 - head.length - tail.length, 0)).fill('0')
  return [...head, ...zeros, ...tail]
}

function blockList(subnets: readonly (readonly [net: string, prefix: number])[]): BlockList {
  const list = new BlockList()
  for (const [net, prefix] of subnets) {
    list.addSubnet(net, prefix, net.includes(':') ? 'ipv6' : 'ipv4')
  }
  return list
}
