import { expect, test } from 'vitest'
import type { Source } from '../../../../common/composition/composition.ts'
import { parseManifest } from '../../../../common/oci/manifest.ts'
import { parseReference } from '../../../../common/oci/reference.ts'
import { isWholeTree, viewPartOf } from '../../../../driver/pull/view/view-part.ts'
import { artifact, directoryLayer } from '../../../support/artifact.ts'

const BUILT = artifact({
  layers: [
    { title: 'app.jar', content: 'app' },
    { title: 'notes.md', content: 'notes' },
    directoryLayer('site', [{ path: 'index.html', content: '<p>' }]),
  ],
})

test.for<[string, Partial<Source>, object, boolean]>([
  ['everything', {}, {}, true],
  ['a path', { path: 'lib' }, { path: 'lib' }, false],
  ['globs that take whole layers', { select: { files: ['/app.jar'] } }, {}, true],
  ['globs that take all of an archive', { select: { files: ['/site/'] } }, {}, true],
  [
    'globs that pick from an archive',
    { select: { files: ['*.html'] } },
    { files: ['*.html'] },
    false,
  ],
  ['media types', { select: { mediaTypes: ['application/*'] } }, {}, true],
  [
    'globs that pick, and a path',
    { path: 'lib', select: { files: ['!index.html'] } },
    { path: 'lib', files: ['!index.html'] },
    false,
  ],
])('%s', ([, wanted, part, whole]) => {
  const manifest = parseManifest(BUILT.manifest)
  if (manifest.kind !== 'manifest') throw new Error('not a manifest')
  const source: Source = { reference: parseReference('ghcr.io/acme/app:v1'), ...wanted }
  const found = viewPartOf(source, manifest, 'tree')
  expect(found).toEqual({ tree: 'tree', ...part })
  expect(isWholeTree([found])).toBe(whole)
  expect(isWholeTree([found, found])).toBe(false)
})
