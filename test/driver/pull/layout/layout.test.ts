import { describe, expect, test } from 'vitest'
import type { Descriptor } from '../../../../common/oci/descriptor.ts'
import { digestOf } from '../../../../common/oci/digest.ts'
import { type ImageManifest, parseManifest } from '../../../../common/oci/manifest.ts'
import { type LayoutOptions, layout } from '../../../../driver/pull/layout/layout.ts'
import { thrownBy } from '../../../support/thrown.ts'

const TAR_GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip'
const TAR = 'application/vnd.oci.image.layer.v1.tar'
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip'
const EMPTY = 'application/vnd.oci.empty.v1+json'
const IMAGE_CONFIG = 'application/vnd.oci.image.config.v1+json'
const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json'
const OPTIONS: LayoutOptions = { unpack: 'auto', modes: 'readable' }
const CONTENT = digestOf('decompressed')

function layer(content: string, mediaType: string, annotations = {}): Descriptor {
  return { mediaType, digest: digestOf(content), size: content.length, annotations }
}

function titled(content: string, title: string, mediaType = TAR): Descriptor {
  return layer(content, mediaType, { 'org.opencontainers.image.title': title })
}

function directory(content: string, title: string): Descriptor {
  return layer(content, TAR_GZIP, {
    'org.opencontainers.image.title': title,
    'io.deis.oras.content.unpack': 'true',
    'io.deis.oras.content.digest': CONTENT,
  })
}

function manifest(layers: readonly Descriptor[], configType = EMPTY): ImageManifest {
  return {
    kind: 'manifest',
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: layer('{}', configType),
    layers,
    annotations: {},
  }
}

const hex = (content: string) => digestOf(content).slice('sha256:'.length)

describe('layout', () => {
  const a = layer('a', TAR_GZIP)
  const b = layer('bb', TAR)
  const dir = directory('dir', 'sub/dir')
  const text = layer('text', 'text/plain')

  test.for([
    ['an OCI image', manifest([a, b], IMAGE_CONFIG), OPTIONS],
    ['a Docker image', manifest([layer('a', DOCKER_LAYER)], DOCKER_CONFIG), OPTIONS],
    [
      'an image with a base layer that may stand elsewhere',
      manifest([layer('a', DOCKER_LAYER.replace('diff', 'foreign.diff')), b], DOCKER_CONFIG),
      OPTIONS,
    ],
    [
      'an image, asked to unpack always',
      manifest([a], IMAGE_CONFIG),
      { ...OPTIONS, unpack: 'always' },
    ],
  ] as const)('lays out %s as a root file system, layer by layer', ([, image, options]) => {
    const plan = layout(image, options)
    expect(plan.flavour).toBe('image')
    expect(plan.steps).toEqual(
      image.layers.map((blob) => ({
        ...{ kind: 'unpack', blob, path: '', namesFrom: 'root' },
        whole: true,
      })),
    )
  })

  test.for([
    ['with a titled layer', manifest([a, titled('t', 't.txt')], IMAGE_CONFIG), OPTIONS],
    ['with a layer that is no tar', manifest([a, text], IMAGE_CONFIG), OPTIONS],
    ['with another config', manifest([a], 'application/vnd.acme.config.v1+json'), OPTIONS],
    ['that must not be unpacked', manifest([a], IMAGE_CONFIG), { ...OPTIONS, unpack: 'never' }],
  ] as const)('does not take a manifest %s for an image', ([, artifact, options]) => {
    expect(layout(artifact, options).flavour).toBe('artifact')
  })

  const linked = (blob: Descriptor, path: string) => ({ kind: 'link', blob, path })
  const jar = titled('jar', 'lib/app.jar')
  const model = layer('m', 'application/vnd.cncf.model.weight.v1.raw', {
    'org.cncf.model.filepath': './model.gguf',
  })

  const cnaiModel = layer('c', 'application/vnd.cnai.model.weight.v1.raw', {
    'org.cnai.model.filepath': 'old/model.bin',
  })
  const modelTar = layer('t', 'application/vnd.cncf.model.weight.v1.tar+zstd', {
    'org.cncf.model.filepath': 'weights/1.bin',
  })
  const titledModelTar = layer('t', 'application/vnd.cncf.model.weight.v1.tar', {
    'org.cncf.model.filepath': 'weights/1.bin',
    'org.opencontainers.image.title': 'weights.tar',
  })
  const chart = layer('h', 'application/vnd.cncf.helm.chart.content.v1.tar+gzip')
  const foreign = layer('f', 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip')
  const digested = layer('d', TAR, { 'io.deis.oras.content.digest': CONTENT })
  const notUnpacked = layer('n', TAR_GZIP, {
    'org.opencontainers.image.title': 'site.tgz',
    'io.deis.oras.content.unpack': 'false',
  })

  test.for([
    [
      'unpacks a directory that oras pushed in its title',
      dir,
      'auto',
      { kind: 'unpack', blob: dir, path: 'sub/dir', namesFrom: 'root', contentDigest: CONTENT },
    ],
    [
      'keeps such a directory as its archive when unpacking never',
      dir,
      'never',
      linked(dir, 'sub/dir'),
    ],
    [
      'unpacks "." pushed by oras at the root',
      directory('dot', '.'),
      'auto',
      {
        kind: 'unpack',
        blob: directory('dot', '.'),
        path: '',
        namesFrom: 'root',
        contentDigest: CONTENT,
      },
    ],
    ['links a titled layer at its title, tar type or not', jar, 'auto', linked(jar, 'lib/app.jar')],
    [
      'unpacks a titled tar at its title when unpacking always',
      jar,
      'always',
      { kind: 'unpack', blob: jar, path: 'lib/app.jar', namesFrom: 'path' },
    ],
    ['links a model file at its path', model, 'auto', linked(model, 'model.gguf')],
    [
      'links a model file of before the CNCF at its path',
      cnaiModel,
      'auto',
      linked(cnaiModel, 'old/model.bin'),
    ],
    [
      'links a titled model archive at its title',
      titledModelTar,
      'auto',
      linked(titledModelTar, 'weights.tar'),
    ],
    [
      "unpacks a model's archive at the root, where the names in it start",
      modelTar,
      'auto',
      { kind: 'unpack', blob: modelTar, path: '', namesFrom: 'root' },
    ],
    [
      "keeps a model's archive at its path when unpacking never",
      modelTar,
      'never',
      linked(modelTar, 'weights/1.bin'),
    ],
    [
      'unpacks a Helm chart at the root',
      chart,
      'auto',
      { kind: 'unpack', blob: chart, path: '', namesFrom: 'root' },
    ],
    [
      'names the provenance of a Helm chart by its digest',
      layer('p', 'application/vnd.cncf.helm.chart.provenance.v1.prov'),
      'auto',
      linked(
        layer('p', 'application/vnd.cncf.helm.chart.provenance.v1.prov'),
        `sha256-${hex('p')}.prov`,
      ),
    ],
    [
      'takes a layer that may stand elsewhere for what it is: its registry has it, or the pull fails',
      foreign,
      'auto',
      { kind: 'unpack', blob: foreign, path: '', namesFrom: 'root' },
    ],
    [
      'verifies the content of an untitled archive that says what it is',
      digested,
      'auto',
      { kind: 'unpack', blob: digested, path: '', namesFrom: 'root', contentDigest: CONTENT },
    ],
    [
      'takes an empty content digest for none',
      layer('d', TAR, { 'io.deis.oras.content.digest': '' }),
      'auto',
      {
        kind: 'unpack',
        blob: layer('d', TAR, { 'io.deis.oras.content.digest': '' }),
        path: '',
        namesFrom: 'root',
      },
    ],
    ['does not unpack what says "false"', notUnpacked, 'auto', linked(notUnpacked, 'site.tgz')],
    [
      'unpacks an untitled tar at the root',
      a,
      'auto',
      { kind: 'unpack', blob: a, path: '', namesFrom: 'root' },
    ],
    [
      'keeps an untitled tar as a file when unpacking never',
      a,
      'never',
      linked(a, `sha256-${hex('a')}.tar.gz`),
    ],
    [
      'names any other untitled layer by its digest',
      text,
      'auto',
      linked(text, `sha256-${hex('text')}.txt`),
    ],
    [
      'leaves the extension out for an unknown media type',
      layer('x', 'application/vnd.acme.thing'),
      'always',
      linked(layer('x', 'application/vnd.acme.thing'), `sha256-${hex('x')}`),
    ],
    [
      'takes an empty title for none',
      titled('x', '', 'application/json'),
      'auto',
      linked(titled('x', '', 'application/json'), `sha256-${hex('x')}.json`),
    ],
    [
      'links an empty layer that has a title',
      titled('{}', 'empty.json', EMPTY),
      'auto',
      linked(titled('{}', 'empty.json', EMPTY), 'empty.json'),
    ],
  ] as const)('%s', ([, blob, unpack, step]) => {
    expect(layout(manifest([blob]), { ...OPTIONS, unpack }).steps).toEqual([
      { ...step, whole: true },
    ])
  })

  test('says what is skipped, and counts each blob once', () => {
    const empty = layer('{}', EMPTY)
    const again = titled('same', 'b.txt')
    const plan = layout(manifest([titled('same', 'a.txt'), empty, again, text]), {
      unpack: 'auto',
      modes: 'keep',
    })
    expect(plan).toEqual({
      flavour: 'artifact',
      modes: 'keep',
      steps: [
        { ...linked(titled('same', 'a.txt'), 'a.txt'), whole: true },
        { ...linked(again, 'b.txt'), whole: true },
        { ...linked(text, `sha256-${hex('text')}.txt`), whole: true },
      ],
      layers: 'all',
      skipped: [{ descriptor: empty, reason: 'empty layer' }],
      blobs: [titled('same', 'a.txt'), text],
      bytes: 8,
    })
  })

  test.for([
    [
      'the withdrawn artifact manifest of OCI',
      {
        mediaType: 'application/vnd.oci.artifact.manifest.v1+json',
        artifactType: 'application/vnd.acme',
        blobs: [titled('a', 'a.txt'), dir],
      },
    ],
    [
      'Docker schema 2 with a config of its own',
      {
        schemaVersion: 2,
        mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
        config: layer('{}', 'application/vnd.acme.config'),
        layers: [titled('a', 'a.txt'), dir],
      },
    ],
    [
      'OCI 1.0, whose artifact type is that of the config',
      {
        schemaVersion: 2,
        config: layer('{}', 'application/vnd.acme.config'),
        layers: [titled('a', 'a.txt'), dir],
      },
    ],
  ] as const)('lays out %s', ([, document]) => {
    const parsed = parseManifest(Buffer.from(JSON.stringify(document)))
    if (parsed.kind !== 'manifest') throw new Error('expected a manifest')
    const plan = layout(parsed, OPTIONS)
    expect(plan.flavour).toBe('artifact')
    expect(plan.steps.map(({ kind, path }) => [kind, path])).toEqual([
      ['link', 'a.txt'],
      ['unpack', 'sub/dir'],
    ])
  })

  test('makes one file of a layer that is listed twice, as oras does', () => {
    const plan = layout(manifest([text, text, jar, jar]), OPTIONS)
    expect(plan.steps).toHaveLength(2)
    expect(plan.layers).toBe('all')
    expect(plan.skipped).toEqual([
      { descriptor: text, reason: 'listed twice' },
      { descriptor: jar, reason: 'listed twice' },
    ])
  })

  test.for([
    [
      'a manifest without layers',
      manifest([]),
      `Nothing to mount: the manifest has no layers, only the config "${EMPTY}" (${digestOf('{}')}, 2 bytes); expected at least one layer with content`,
    ],
    [
      'an image without layers',
      manifest([], IMAGE_CONFIG),
      `Nothing to mount: the manifest has no layers, only the config "${IMAGE_CONFIG}" (${digestOf('{}')}, 2 bytes); expected at least one layer with content`,
    ],
    [
      'a manifest of empty layers',
      manifest([layer('{}', EMPTY)]),
      `Nothing to mount: the manifest has only "${EMPTY}" (${digestOf('{}')}, 2 bytes); expected at least one layer with content`,
    ],
    [
      'two layers of one title',
      manifest([titled('a', 'x/y'), titled('b', './x//y')]),
      `Two layers have the title "x/y": ${digestOf('a')} and ${digestOf('b')}; expected different titles`,
    ],
    [
      'a file where another layer needs a directory',
      manifest([titled('a', 'x'), titled('b', 'x/y/z')]),
      'Layer titles conflict: "x" is a file, and "x/y/z" needs it to be a directory',
    ],
    [
      'a title that leaves the volume',
      manifest([titled('a', '../../etc/cron.d/x')]),
      'Invalid title "../../etc/cron.d/x": it has ".." in it; push the artifact again with another name',
    ],
    [
      'an absolute title',
      manifest([titled('a', '/etc/cron.d/x')]),
      'Invalid title "/etc/cron.d/x": it is absolute; expected a relative path; push the artifact again with another name',
    ],
    [
      'a title that names the root',
      manifest([titled('a', './')]),
      'Invalid title "./": it is the volume\'s root; expected a file\'s name; push the artifact again with another name',
    ],
    [
      'a content digest that is none',
      manifest([layer('a', TAR, { 'io.deis.oras.content.digest': 'sha256:../../x' })]),
      `Invalid annotation "io.deis.oras.content.digest" of layer ${digestOf('a')}: "sha256:../../x" is not a digest; expected "sha256:" and 64 lowercase hex characters`,
    ],
    [
      'one digest with two sizes',
      manifest([titled('a', 'x'), { ...titled('a', 'y'), size: 7 }]),
      `Layer ${digestOf('a')} is listed with two sizes: 1 and 7 bytes`,
    ],
  ] as const)('refuses %s', ([, artifact, message]) => {
    expect(thrownBy(() => layout(artifact, OPTIONS))).toBe(`INVALID ${message}`)
  })
})

describe('a manifest that is laid out again', () => {
  const globs = { files: ['*.txt'] }

  test('attack: a thousand layers are gone through once for equal options, whoever asks', () => {
    const layers = Array.from({ length: 1_000 }, (_, n) => titled(`${n}`, `${n}.txt`))
    const document = manifest(layers)
    const plan = layout(document, { ...OPTIONS, select: globs })
    expect(layout(document, { ...OPTIONS, select: { files: ['*.txt'] } })).toBe(plan)
    expect(layout(document, OPTIONS)).not.toBe(plan)
    expect(layout(manifest(layers), { ...OPTIONS, select: globs })).not.toBe(plan)
  })

  test('is refused with the same error', () => {
    const document = manifest([titled('a', 'a.txt')])
    const refused = () => layout(document, { ...OPTIONS, select: { files: ['*.jar'] } })
    expect(thrownBy(refused)).toBe(thrownBy(refused))
  })

  test('attack: options without end are not remembered without end', () => {
    const document = manifest([titled('a', 'a.txt')])
    const first = layout(document, OPTIONS)
    for (let n = 0; n < 4; n++) {
      layout(document, { ...OPTIONS, select: { files: ['a.txt', `${n}`] } })
    }
    expect(layout(document, OPTIONS)).not.toBe(first)
  })
})
