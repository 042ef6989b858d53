import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../../../common/oci/media-types.ts'
import { artifact, describe as descriptorOf, manifestOf } from '../../../support/artifact.ts'
import { whyNoMounts } from '../../../support/mounts.ts'
import { startRegistry } from '../../../support/registry.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import { type AttackedNode, startAttackedNode } from './attacked-node.ts'

const why = await whyNoMounts()
let node: AttackedNode
beforeAll(async () => {
  if (why === undefined) node = await startAttackedNode()
})
afterAll(() => node?.[Symbol.asyncDispose]())

const GOOD = 'mild'
const EVIL = 'evil'

function layer(content: string) {
  return {
    ...descriptorOf('text/plain', content),
    annotations: { 'org.opencontainers.image.title': 'f' },
  }
}

const CONFIG = descriptorOf('application/vnd.oci.empty.v1+json', '{}')
const MANIFEST = {
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: CONFIG,
  layers: [layer(GOOD)],
}
const TEXT = JSON.stringify(MANIFEST)
const EVIL_LAYERS = JSON.stringify([layer(EVIL)])

/** The text of a manifest, with what its layers need. */
function document(text: string | Buffer, mediaType = OCI_MANIFEST) {
  return manifestOf(Buffer.from(text), mediaType, ['{}', GOOD, EVIL])
}

/** With one field of the manifest, or of its layer, more or another. */
function withField(field: object): string {
  return JSON.stringify({ ...MANIFEST, ...field })
}

function withLayerField(field: object): string {
  return JSON.stringify({ ...MANIFEST, layers: [{ ...layer(GOOD), ...field }] })
}

describe('a manifest', () => {
  test.for<[string, string | Buffer, string]>([
    [
      'with a key twice, of which readers take different ones',
      `${TEXT.slice(0, -1)},"layers":${EVIL_LAYERS}}`,
      'DATA_LOSS Cannot use "REF": manifest: has the key "layers" twice in one object',
    ],
    [
      'with a key twice, once escaped',
      `${TEXT.slice(0, -1)},"l\\u0061yers":${EVIL_LAYERS}}`,
      'DATA_LOSS Cannot use "REF": manifest: has the key "layers" twice in one object',
    ],
    [
      'with "Layers", which Go takes for "layers"',
      `${TEXT.slice(0, -1)},"Layers":${EVIL_LAYERS}}`,
      'DATA_LOSS Cannot use "REF": manifest.Layers: a variant of "layers"; expected "layers"',
    ],
    [
      'with the long s, which Go folds to s',
      `${TEXT.slice(0, -1)},"layerſ":${EVIL_LAYERS}}`,
      'DATA_LOSS Cannot use "REF": manifest["layerſ"]: a variant of "layers"; expected "layers"',
    ],
    [
      'with "Digest" in a layer',
      withLayerField({ Digest: digestOf(EVIL) }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].Digest: a variant of "digest"; expected "digest"',
    ],
    [
      'that is an index, too (CVE-2021-41190)',
      withField({ manifests: [] }),
      'DATA_LOSS Cannot use "REF": manifest: has both "manifests" and "layers"; expected one of them',
    ],
    [
      'that is an index and leaves its type out (CVE-2021-41190)',
      withField({ mediaType: undefined, manifests: [] }),
      'DATA_LOSS Cannot use "REF": manifest: has both "manifests" and "layers"; expected one of them',
    ],
    [
      'that calls itself an index (CVE-2021-41190)',
      withField({ mediaType: OCI_INDEX }),
      'DATA_LOSS Cannot use "REF": manifest: has "layers", but is a "application/vnd.oci.image.index.v1+json"',
    ],
    [
      'with a key "__proto__"',
      `${TEXT.slice(0, -1)},"__proto__":{"layers":[]}}`,
      'DATA_LOSS Cannot use "REF": manifest: has a key "__proto__"',
    ],
    [
      'with "__proto__" among annotations',
      `${TEXT.slice(0, -1)},"annotations":{"__proto__":"x"}}`,
      'DATA_LOSS Cannot use "REF": manifest: has a key "__proto__"',
    ],
    [
      'with a size that is a string',
      withLayerField({ size: '4' }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].size: expected an integer, found a string',
    ],
    [
      'with a negative size',
      withLayerField({ size: -4 }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].size: expected an integer from 0 to 2^53 - 1, found a number',
    ],
    [
      'with half a byte',
      withLayerField({ size: 4.5 }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].size: expected an integer, found a number',
    ],
    [
      'with a size of 2^53',
      withLayerField({ size: 2 ** 53 }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].size: expected an integer from 0 to 2^53 - 1, found a number',
    ],
    [
      'with a size no number holds',
      TEXT.replace('"size":4', '"size":1e999'),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].size: expected an integer, found a number',
    ],
    [
      'with embedded data that is other than the digest says',
      withLayerField({ data: Buffer.from(EVIL).toString('base64') }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].data: does not match the digest',
    ],
    [
      'with embedded data longer than its size',
      withLayerField({ data: Buffer.from('longer').toString('base64') }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].data: holds 6 bytes, but size is 4',
    ],
    [
      'with embedded data that is no base64',
      withLayerField({ data: '$$$' }),
      'DATA_LOSS Cannot use "REF": manifest.layers[0].data: expected base64',
    ],
    [
      'nested a thousand deep',
      `${TEXT.slice(0, -1)},"x":${'['.repeat(1000)}${']'.repeat(1000)}}`,
      'DATA_LOSS Cannot use "REF": manifest: nested deeper than 32',
    ],
    [
      'of a quarter million empty values',
      `${TEXT.slice(0, -1)},"x":[${'0,'.repeat(250_000)}0]}`,
      'DATA_LOSS Cannot use "REF": manifest: holds more than 200000 values',
    ],
    [
      'with bytes that are no UTF-8',
      Buffer.concat([
        Buffer.from(`${TEXT.slice(0, -1)},"x":"`),
        Buffer.from([0xc0, 0x80]),
        Buffer.from('"}'),
      ]),
      'DATA_LOSS Cannot use "REF": manifest: not valid UTF-8',
    ],
    [
      'with a byte-order mark',
      `\ufeff${TEXT}`,
      'DATA_LOSS Cannot use "REF": manifest: not valid JSON',
    ],
    [
      'with something behind it',
      `${TEXT}{}`,
      'DATA_LOSS Cannot use "REF": manifest: not valid JSON at character 410',
    ],
    [
      'that is cut off',
      TEXT.slice(0, 100),
      'DATA_LOSS Cannot use "REF": manifest: not valid JSON at character 100',
    ],
    [
      "that is a captive portal's page",
      '<!DOCTYPE html><title>Log in</title>',
      'DATA_LOSS Cannot use "REF": manifest: not valid JSON',
    ],
    [
      'of Docker schema 1',
      withField({ schemaVersion: 1 }),
      'INVALID_ARGUMENT Cannot use "REF": unsupported manifest: Docker schema 1; push the image again with a current tool',
    ],
  ])('%s is refused', async ([, text, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal(document(text))).toBe(message)
  })

  test('with foreign urls is pulled from its own registry, and nobody else is asked (CVE-2020-15157)', async (context) => {
    skipUnless(context, why)
    await using foreign = await startRegistry()
    const urls = [`${foreign.url}/v2/acme/attack/blobs/${digestOf(GOOD)}`]
    expect(await node.tree(document(withLayerField({ urls })))).toEqual({
      '.': 'directory 755',
      f: `file 444 ${GOOD}`,
    })
    expect(foreign.requests).toEqual([])
    const notHere = descriptorOf('text/plain', 'only there')
    foreign.addBlob('acme/attack', {
      size: 10,
      slice: (a, b) => Buffer.from('only there').subarray(a, b),
    })
    const layers = [
      {
        ...notHere,
        annotations: layer(GOOD).annotations,
        urls: [urls[0]?.replace(digestOf(GOOD), notHere.digest)],
      },
    ]
    expect(await node.refusal(document(withField({ layers })))).toMatch(
      /^NOT_FOUND Cannot pull "REF": registry has no blob sha256:HEX/,
    )
    expect(foreign.requests).toEqual([])
  })

  test('with annotations named as methods is read', async (context) => {
    skipUnless(context, why)
    const annotations = { constructor: 'x', toString: 'y', hasOwnProperty: 'z' }
    expect(
      await node.tree(artifact({ layers: [{ title: 'f', content: 'x' }], annotations })),
    ).toEqual({
      '.': 'directory 755',
      f: 'file 444 x',
    })
  })
})
