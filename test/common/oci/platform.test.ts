import { describe, expect, test } from 'vitest'
import type { Descriptor, Platform } from '../../../common/oci/descriptor.ts'
import type { ImageIndex } from '../../../common/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../../common/oci/media-types.ts'
import {
  choosePlatform,
  formatPlatform,
  nodePlatform,
  parsePlatform,
} from '../../../common/oci/platform.ts'

function indexOf(...platforms: readonly (string | Platform | undefined)[]): ImageIndex {
  const manifests = platforms.map((platform, at): Descriptor => {
    const [os = '', architecture = '', variant] =
      typeof platform === 'string' ? platform.split('/') : []
    const named =
      typeof platform === 'string'
        ? { os, architecture, ...(variant !== undefined && { variant }) }
        : platform
    return {
      mediaType: OCI_MANIFEST,
      digest: `sha256:${String(at).padStart(64, '0')}`,
      size: at,
      annotations: {},
      ...(named && { platform: named }),
    }
  })
  return { kind: 'index', mediaType: OCI_INDEX, manifests, annotations: {} }
}

function chosen(index: ImageIndex, wanted: string): string {
  const { platform } = choosePlatform(index, parsePlatform(wanted))
  return platform === undefined ? 'none' : formatPlatform(platform)
}

describe('parsePlatform', () => {
  test.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/x86_64', 'linux/amd64'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['Linux/AMD64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['macos/arm64', 'darwin/arm64'],
    ['linux/riscv64', 'linux/riscv64'],
  ])('reads %s as %s', (text, expected) => {
    expect(formatPlatform(parsePlatform(text))).toBe(expected)
  })

  test.each(['', 'linux', 'linux/', '/amd64', 'linux/arm/', 'a/b/c/d', 'linux/a b'])(
    'refuses %j',
    (text) => {
      expect(() => parsePlatform(text)).toThrow(
        `Invalid platform ${JSON.stringify(text)}: expected os/arch or os/arch/variant, e.g. "linux/arm64"`,
      )
    },
  )
})

test("the node's platform is named as Go names it", () => {
  expect(
    [
      nodePlatform('x64', 'linux'),
      nodePlatform('arm64', 'linux'),
      nodePlatform('arm', 'linux'),
      nodePlatform('x64', 'win32'),
    ].map(formatPlatform),
  ).toStrictEqual(['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'windows/amd64'])
})

describe('choosePlatform', () => {
  test.each([
    ['exactly that platform', ['linux/arm64', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    ['another spelling of it', ['linux/aarch64/v8'], 'linux/arm64', 'linux/aarch64/v8'],
    [
      'exactly that variant before older ones',
      ['linux/arm/v6', 'linux/arm/v7'],
      'linux/arm/v7',
      'linux/arm/v7',
    ],
    ['the newest older variant', ['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v7', 'linux/arm/v6'],
    ['arm without a variant as v7', ['linux/arm/v6', 'linux/arm'], 'linux/arm/v7', 'linux/arm'],
    ['arm64/v8 for v9', ['linux/arm64'], 'linux/arm64/v9', 'linux/arm64'],
    ['amd64/v2 for v3', ['linux/amd64', 'linux/amd64/v2'], 'linux/amd64/v3', 'linux/amd64/v2'],
    ['386 for amd64', ['linux/arm64', 'linux/386'], 'linux/amd64', 'linux/386'],
    ['arm for arm64, the newest', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm64', 'linux/arm/v7'],
    ['amd64 before 386', ['linux/386', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
  ])('chooses %s', (_, platforms, wanted, expected) => {
    expect(chosen(indexOf(...platforms), wanted)).toBe(expected)
  })

  test('chooses the only child without a platform, whatever attestations stand beside it', () => {
    expect(
      choosePlatform(indexOf('unknown/unknown', undefined), parsePlatform('linux/arm64')).size,
    ).toBe(1)
  })

  test('chooses the first of equals', () => {
    expect(
      choosePlatform(indexOf('linux/amd64', 'linux/amd64'), parsePlatform('linux/amd64')).size,
    ).toBe(0)
  })

  test.each([
    [['linux/arm64', 'windows/amd64', 'unknown/unknown'], 'linux/arm64, windows/amd64'],
    [['linux/amd64/v3'], 'linux/amd64/v3'],
    [['unknown/unknown'], 'no manifests'],
    [[undefined, undefined], 'one without a platform'],
    [
      Array.from({ length: 25 }, (_, at) => `linux/cpu${at}`),
      `${Array.from({ length: 20 }, (_, at) => `linux/cpu${at}`).join(', ')} and 5 more`,
    ],
  ])('lists what there is: %j', (platforms, list) => {
    expect(() => choosePlatform(indexOf(...platforms), parsePlatform('linux/amd64'))).toThrow(
      `No manifest for platform "linux/amd64": the index has ${list}`,
    )
  })
})
