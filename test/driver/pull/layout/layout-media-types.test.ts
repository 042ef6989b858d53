import { expect, test } from 'vitest'
import { extensionOf, isTarType } from '../../../../driver/pull/layout/layout-media-types.ts'

test.for([
  ['application/vnd.oci.image.layer.v1.tar', true, '.tar'],
  ['application/vnd.oci.image.layer.v1.tar+gzip', true, '.tar.gz'],
  ['application/vnd.oci.image.layer.v1.tar+zstd', true, '.tar.zst'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', true, '.tar.gz'],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', true, '.tar.gz'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', true, '.tar.gz'],
  ['application/vnd.cncf.helm.chart.content.v1.tar+gzip', true, '.tar.gz'],
  ['application/tar+gzip', true, '.tar.gz'],
  ['application/x-tar', true, '.tar'],
  ['application/x-tgz', true, '.tar.gz'],
  ['application/vnd.acme.startar', false, ''],
  ['application/gzip', false, '.gz'],
  ['application/vnd.acme.report+json', false, '.json'],
  ['application/vnd.wasm.content.layer.v1+wasm', false, '.wasm'],
  ['Application/JSON', false, '.json'],
  ['application/octet-stream', false, ''],
  ['application/constructor', false, ''],
  ['application/x+constructor', false, ''],
] as const)('"%s": tar %s, extension "%s"', ([mediaType, isTar, extension]) => {
  expect([isTarType(mediaType), extensionOf(mediaType)]).toEqual([isTar, extension])
})
