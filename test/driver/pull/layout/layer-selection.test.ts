import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Selection } from '../../../../common/composition/composition.ts'
import { createFileFilter } from '../../../../common/composition/file-filter.ts'
import type { Descriptor } from '../../../../common/oci/descriptor.ts'
import { digestOf } from '../../../../common/oci/digest.ts'
import type { ImageManifest } from '../../../../common/oci/manifest.ts'
import { layout, needsView, type Plan } from '../../../../driver/pull/layout/layout.ts'
import { nothingSelectedInTree } from '../../../../driver/pull/layout/layout-message.ts'
import { treeIdentityOf } from '../../../../driver/pull/tree-identity.ts'
import { treeKey } from '../../../../driver/store/trees.ts'
import { thrownBy } from '../../../support/thrown.ts'

const JAR = 'application/java-archive'
const TAR = 'application/vnd.oci.image.layer.v1.tar'
const EMPTY = 'application/vnd.oci.empty.v1+json'
const KIND = 'com.acme.kind'

function layer(title: string | undefined, mediaType: string, annotations = {}): Descriptor {
  const content = title ?? mediaType
  return {
    ...{ mediaType, digest: digestOf(content), size: content.length },
    annotations: {
      ...annotations,
      ...(title !== undefined && { 'org.opencontainers.image.title': title }),
    },
  }
}

function directory(title: string): Descriptor {
  return layer(title, TAR, { 'io.deis.oras.content.unpack': 'true' })
}

function manifestOf(...layers: readonly Descriptor[]): ImageManifest {
  const config = layer(undefined, EMPTY)
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  return { kind: 'manifest', mediaType, config, layers, annotations: {} }
}

const APP = manifestOf(
  layer('lib/app.jar', JAR, { [KIND]: 'application' }),
  layer('lib/plugin.jar', JAR, { [KIND]: 'plugin-one' }),
  layer('README.md', 'text/markdown'),
  directory('site'),
  layer(undefined, 'application/vnd.acme.blob', { [KIND]: 'plugin-two' }),
  layer(undefined, EMPTY),
)
const BLOB = digestOf('application/vnd.acme.blob').replace(':', '-')

const planOf = (select: Selection, manifest = APP) =>
  layout(manifest, { unpack: 'auto', modes: 'readable', select })
const placed = ({ steps }: Plan) =>
  steps.map(({ path, whole }) => (whole ? path : `${path} (some)`))

describe('a selection', () => {
  test.for<[name: string, select: Selection, paths: readonly string[]]>([
    ['takes layers of a media type', { mediaTypes: [JAR] }, ['lib/app.jar', 'lib/plugin.jar']],
    [
      'takes layers of any of several',
      { mediaTypes: [JAR, 'text/markdown'] },
      ['lib/app.jar', 'lib/plugin.jar', 'README.md'],
    ],
    ['knows globs of media types', { mediaTypes: ['text/*'] }, ['README.md']],
    ['does not mind letter case in them', { mediaTypes: ['Text/MarkDown'] }, ['README.md']],
    [
      'takes layers by an annotation',
      { annotations: { [KIND]: ['plugin-*'] } },
      ['lib/plugin.jar', BLOB],
    ],
    [
      'minds letter case there',
      { annotations: { [KIND]: ['plugin-one', 'Plugin-Two'] } },
      ['lib/plugin.jar'],
    ],
    [
      'takes layers by any glob of an annotation',
      { annotations: { [KIND]: ['app*', 'plugin-two'] } },
      ['lib/app.jar', BLOB],
    ],
    [
      'takes layers by all annotations',
      { annotations: { [KIND]: ['*'], 'org.opencontainers.image.title': ['lib/p*'] } },
      ['lib/plugin.jar'],
    ],
    [
      'takes what passes type and annotation',
      { mediaTypes: [JAR], annotations: { [KIND]: ['plugin-*'] } },
      ['lib/plugin.jar'],
    ],
    ['takes files by their path', { files: ['/lib/app.jar'] }, ['lib/app.jar']],
    [
      'takes archives that may hold such files, and says that a view is needed',
      { files: ['*.jar'] },
      ['lib/app.jar', 'lib/plugin.jar', 'site (some)'],
    ],
    ['takes archives whole that hold nothing else', { files: ['site'] }, ['site']],
    [
      'takes archives whole for what is in them',
      { files: ['site/**', '*.md'] },
      ['README.md', 'site'],
    ],
    [
      'leaves archives out that can hold no such file',
      { files: ['lib/', 'docs/'] },
      ['lib/app.jar', 'lib/plugin.jar', 'site (some)'],
    ],
    [
      'leaves them out where globs are tied to the root',
      { files: ['/lib/'] },
      ['lib/app.jar', 'lib/plugin.jar'],
    ],
    ['leaves out what is excluded', { files: ['!lib', '!site'] }, ['README.md', BLOB]],
    ['knows untitled layers by the name they get', { files: ['sha256-*'] }, ['site (some)', BLOB]],
    [
      'takes all that passes everything',
      { mediaTypes: [JAR], annotations: { [KIND]: ['plugin-*'] }, files: ['lib/', '!app.jar'] },
      ['lib/plugin.jar'],
    ],
  ])('%s', ([, select, paths]) => {
    const plan = planOf(select)
    expect(placed(plan)).toEqual(paths)
    expect(plan.blobs.map(({ digest }) => digest)).toEqual(
      plan.steps.map(({ blob }) => blob.digest),
    )
    expect(needsView(plan, {})).toBe(paths.some((path) => path.endsWith(' (some)')))
    expect(needsView(plan, { path: 'lib' })).toBe(true)
  })

  test('says of each layer that it leaves out why', () => {
    const plan = planOf({ mediaTypes: ['*'], annotations: { [KIND]: ['*'] }, files: ['*.jar'] })
    expect(plan.skipped.map(({ descriptor, reason }) => [descriptor, reason])).toEqual([
      [APP.layers[2], 'not selected by annotations'],
      [APP.layers[3], 'not selected by annotations'],
      [APP.layers[4], 'not selected by files'],
      [APP.layers[5], 'empty layer'],
    ])
    expect(plan.layers).toEqual([0, 1])
  })

  test('does not look at what it leaves out: bad titles and conflicts there do not matter', () => {
    const broken = manifestOf(
      layer('a', JAR),
      layer('../x', 'text/plain'),
      layer('a/b', 'text/css'),
    )
    expect(placed(planOf({ mediaTypes: [JAR] }, broken))).toEqual(['a'])
    expect(thrownBy(() => planOf({ mediaTypes: ['text/plain'] }, broken))).toBe(
      'INVALID Invalid title "../x": it has ".." in it; push the artifact again with another name',
    )
  })

  test('of layers of an image applies those as a root file system', () => {
    const image: ImageManifest = {
      ...manifestOf(layer(undefined, `${TAR}+gzip`), layer(undefined, TAR)),
      config: layer(undefined, 'application/vnd.oci.image.config.v1+json'),
    }
    const plan = planOf({ mediaTypes: [TAR], files: ['etc/'] }, image)
    expect(plan.flavour).toBe('image')
    expect(plan.steps).toEqual([
      { kind: 'unpack', blob: image.layers[1], path: '', namesFrom: 'root', whole: false },
    ])
  })

  test("spares the download of a model's archive whose path no glob can mean", () => {
    const weight = (path: string) =>
      ({
        ...layer(undefined, `application/vnd.cncf.model.weight.v1.tar`),
        digest: digestOf(path),
        annotations: { 'org.cncf.model.filepath': path },
      }) satisfies Descriptor
    const model = manifestOf(weight('config.json'), weight('shards'), weight('big.bin'))
    const plan = planOf({ files: ['/config.json', '/shards/*.json'] }, model)
    expect(plan.steps.map(({ blob }) => blob)).toEqual(model.layers.slice(0, 2))
    expect(plan.steps.map(({ whole }) => whole)).toEqual([false, false])
    expect(placed(planOf({ files: ['**'] }, model))).toEqual(['', '', ''])
  })
})

describe('a selection of nothing is refused', () => {
  const there =
    '"lib/app.jar" (application/java-archive, 11 bytes), "lib/plugin.jar" (application/java-archive, 14 bytes), "README.md" (text/markdown, 9 bytes), "site" (application/vnd.oci.image.layer.v1.tar, 4 bytes), ' +
    `${digestOf('application/vnd.acme.blob')} (application/vnd.acme.blob, 25 bytes)`

  test.for<[name: string, select: Selection, message: string]>([
    [
      'by media type, with the nearest',
      { mediaTypes: ['application/java-archve'] },
      `mediaTypes "application/java-archve" match nothing; the manifest has ${there}; did you mean "application/java-archive"?`,
    ],
    [
      'by annotation, with the nearest key',
      { annotations: { 'com.acme.kinds': ['*'] } },
      `annotations "com.acme.kinds"="*" match nothing; the manifest has ${there}; did you mean "com.acme.kind"?`,
    ],
    [
      'by annotation, with what there is and the nearest value',
      { mediaTypes: [JAR], annotations: { [KIND]: ['plugin-1ne', 'x'], z: ['y'] } },
      'annotations "com.acme.kind"="plugin-1ne"|"x", "z"="y" match nothing; the other parts of the selection leave "lib/app.jar" (application/java-archive, 11 bytes, com.acme.kind="application"), "lib/plugin.jar" (application/java-archive, 14 bytes, com.acme.kind="plugin-one")',
    ],
    [
      'by annotation, with the nearest value',
      { mediaTypes: [JAR], annotations: { [KIND]: ['plugin-1ne'] } },
      'annotations "com.acme.kind"="plugin-1ne" match nothing; the other parts of the selection leave "lib/app.jar" (application/java-archive, 11 bytes, com.acme.kind="application"), "lib/plugin.jar" (application/java-archive, 14 bytes, com.acme.kind="plugin-one"); did you mean "plugin-one"?',
    ],
    [
      'by file, with the nearest path',
      { files: ['/lib/apps.jar', '!site'] },
      `files "/lib/apps.jar", "!site" match nothing; the manifest has ${there}; did you mean "lib/app.jar"?`,
    ],
    [
      'by file, with the nearest name',
      { mediaTypes: [JAR], files: ['plugins.jar'] },
      'files "plugins.jar" match nothing; the other parts of the selection leave "lib/app.jar" (application/java-archive, 11 bytes), "lib/plugin.jar" (application/java-archive, 14 bytes); did you mean "plugin.jar"?',
    ],
    ['by excluding all', { files: ['!*'] }, `files "!*" match nothing; the manifest has ${there}`],
  ])('%s', ([, select, message]) => {
    expect(thrownBy(() => planOf(select))).toBe(`INVALID Nothing selected: ${message}`)
  })

  test('in a manifest of empty layers, for that reason', () => {
    const select = { mediaTypes: [EMPTY] }
    expect(thrownBy(() => planOf(select, manifestOf(layer(undefined, EMPTY))))).toBe(
      `INVALID Nothing to mount: the manifest has only "${EMPTY}" (${digestOf(EMPTY)}, ${EMPTY.length} bytes); expected at least one layer with content`,
    )
  })

  test('with no more than twenty layers listed, and long titles cut', () => {
    const many = Array.from({ length: 30 }, (_, at) => layer(`${at}${'x'.repeat(240)}`, JAR))
    const message = thrownBy(() => planOf({ mediaTypes: ['text/plain'] }, manifestOf(...many)))
    expect(message).toMatch(/, and 10 more$/)
    expect(message.length).toBeLessThan(6_000)
  })

  test('by a view, with what the tree has', () => {
    const error = nothingSelectedInTree(['aa.jar', '!x'], ['lib/a.jar', 'b.txt'])
    expect(`${error.code} ${error.message}`).toBe(
      'INVALID Nothing selected: files "aa.jar", "!x" match nothing; the artifact has "lib/a.jar", "b.txt"; did you mean "a.jar"?',
    )
  })
})

describe('the tree of a selection', () => {
  const resolved = { manifest: APP, manifestDigest: digestOf('manifest') }
  const keyOf = (select?: Selection) =>
    treeKey(
      treeIdentityOf(resolved, { unpack: 'auto', modes: 'readable', ...(select && { select }) }),
    )

  test('is the same however the layers were told', () => {
    const keys = [
      { mediaTypes: [JAR] },
      { mediaTypes: ['application/java-*', 'no/such'] },
      { annotations: { 'org.opencontainers.image.title': ['*.jar'] } },
      { files: ['/lib'] },
      { files: ['/lib/*.jar'] },
    ].map(keyOf)
    expect(new Set(keys).size).toBe(1)
  })

  test('is that of the whole artifact when it leaves nothing with content out', () => {
    expect([{ mediaTypes: ['*'] }, { files: ['!*.none'] }].map(keyOf)).toEqual([keyOf(), keyOf()])
  })

  test('differs with the layers', () => {
    const keys = [{ mediaTypes: [JAR] }, { files: ['README.md', '!site'] }, undefined].map(keyOf)
    expect(new Set(keys).size).toBe(3)
  })
})

const TITLES = ['a', 'b.jar', 'lib/a', 'lib/b.jar', 'lib/c/d', 'opt/a', 'opt/x/b.jar']
const GLOBS = [
  'a',
  '*.jar',
  'lib',
  '/lib/',
  'lib/*',
  '!*.jar',
  '!lib',
  '/opt/**',
  '!opt/x',
  '**/x',
  '*',
]

test('what is placed is what the file filter takes, for any artifact and globs', () => {
  const titles = fc.uniqueArray(fc.constantFrom(...TITLES), { minLength: 1 })
  const globs = fc.array(fc.constantFrom(...GLOBS), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(titles, globs, (names, files) => {
      const filter = createFileFilter(files)
      const wanted = names.filter((name) => filter.selects(name, 'file'))
      const manifest = manifestOf(...names.map((name) => layer(name, JAR)))
      let paths: readonly string[] = []
      try {
        // "a" is a file and never a directory of these.
        paths = placed(planOf({ files }, manifest))
      } catch (error) {
        expect(String(error)).toContain('Nothing selected')
      }
      expect(paths).toEqual(wanted)
    }),
  )
})
