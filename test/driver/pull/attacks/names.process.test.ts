import { linkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import {
  artifact,
  type Built,
  directoryLayer,
  image,
  manifestOf,
} from '../../../support/artifact.ts'
import { whyNoMounts } from '../../../support/mounts.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import { type TarEntry, tarOf } from '../../../support/tar.ts'
import { type Attack, type AttackedNode, listing, startAttackedNode } from './attacked-node.ts'

const why = await whyNoMounts()
let node: AttackedNode
beforeAll(async () => {
  if (why === undefined) node = await startAttackedNode()
})
afterAll(() => node?.[Symbol.asyncDispose]())

const TITLE = 'org.opencontainers.image.title'
const DEEP = 'd/'.repeat(64)

/** A manifest whose text is edited after it was written: for what no JSON writer would write. */
function edited(built: Built, from: string, to: string | Buffer): Built {
  const text = built.manifest.toString('latin1')
  const bytes = Buffer.from(
    text.replace(from, () => Buffer.from(to).toString('latin1')),
    'latin1',
  )
  return { ...manifestOf(bytes), blobs: built.blobs }
}

describe('a digest (CVE-2024-3727)', () => {
  test.for([
    ['that climbs out of the store', 'sha256:../../../../../canary/secret'],
    ['with a path behind it', `sha256:${'a'.repeat(64)}/../../secret`],
    ['in upper case, a second name for the same file', `sha256:${'A'.repeat(64)}`],
    ['of an algorithm that is broken', `md5:${'a'.repeat(32)}`],
    ['of sha512 with the length of sha256', `sha512:${'a'.repeat(64)}`],
    ['with a newline behind it', `sha256:${'a'.repeat(64)}\n`],
  ])('%s is no digest', async ([, digest = ''], context) => {
    skipUnless(context, why)
    const layers = [{ title: 'f', digest, size: 3 }]
    expect(await node.refusal(artifact({ layers }))).toBe(
      'DATA_LOSS Cannot use "REF": manifest.layers[0].digest: expected "sha256:" and 64, or "sha512:" and 128, lowercase hex characters',
    )
  })
})

describe('a reference', () => {
  test.for([
    [
      'whose repository climbs',
      (host: string) => `${host}/../../canary:v1`,
      'INVALID_ARGUMENT Invalid volume attribute "oras.artifact.reference": invalid reference "HOST/../../canary:v1": "../../canary" is not a repository; expected lowercase letters, digits, separators "." "_" "-" and "/"',
    ],
    [
      'whose tag is a path',
      (host: string) => `${host}/acme/app:../../v1`,
      'INVALID_ARGUMENT Invalid volume attribute "oras.artifact.reference": invalid reference "HOST/acme/app:../../v1": "../../v1" is not a tag; expected up to 128 letters, digits, ".", "_" and "-", not starting with "." or "-"',
    ],
    [
      'whose digest is a path',
      (host: string) => `${host}/acme/app@sha256:../../x`,
      'INVALID_ARGUMENT Invalid volume attribute "oras.artifact.reference": invalid reference "HOST/acme/app@sha256:../../x": "sha256:../../x" is not a digest; expected "sha256:" and 64 lowercase hex characters',
    ],
  ] as const)('%s is refused', async ([, reference, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal(artifact({ layers: [] }), { reference })).toBe(message)
  })
})

describe('a title', () => {
  test.for<[string, string, string]>([
    [
      'that climbs out',
      '../../canary/secret',
      'INVALID_ARGUMENT Cannot use "REF": invalid title "../../canary/secret": it has ".." in it; push the artifact again with another name',
    ],
    [
      'that climbs out further down',
      'a/../../../canary/secret',
      'INVALID_ARGUMENT Cannot use "REF": invalid title "a/../../../canary/secret": it has ".." in it; push the artifact again with another name',
    ],
    [
      'that is absolute',
      '/etc/oras-csi-attack',
      'INVALID_ARGUMENT Cannot use "REF": invalid title "/etc/oras-csi-attack": it is absolute; expected a relative path; push the artifact again with another name',
    ],
    [
      'with a NUL that hides its end',
      'a\0b',
      'INVALID_ARGUMENT Cannot use "REF": invalid title "a\\u0000b": it has a control character; push the artifact again with another name',
    ],
    [
      'with a newline, which forges a line of a log',
      'a\nb',
      'INVALID_ARGUMENT Cannot use "REF": invalid title "a\\nb": it has a control character; push the artifact again with another name',
    ],
    [
      'with an escape sequence for a terminal',
      '\u001b[2J',
      'INVALID_ARGUMENT Cannot use "REF": invalid title "\\u001b[2J": it has a control character; push the artifact again with another name',
    ],
    [
      'of one component of 256 bytes',
      'n'.repeat(256),
      `INVALID_ARGUMENT Cannot use "REF": invalid title "${'n'.repeat(200)}": it has a component of more than 255 bytes; push the artifact again with another name`,
    ],
    [
      'of one component of 256 bytes and few characters',
      '模'.repeat(86),
      `INVALID_ARGUMENT Cannot use "REF": invalid title "${'模'.repeat(86)}": it has a component of more than 255 bytes; push the artifact again with another name`,
    ],
    [
      'of more than 4096 bytes',
      `${'n'.repeat(200)}/`.repeat(21),
      `INVALID_ARGUMENT Cannot use "REF": invalid title "${'n'.repeat(200)}": it is longer than 4096 bytes; push the artifact again with another name`,
    ],
    [
      'deeper than 64 directories',
      `${DEEP}f`,
      `INVALID_ARGUMENT Cannot use "REF": invalid title "${DEEP}f": it is deeper than 64 directories; push the artifact again with another name`,
    ],
    [
      'that is the root itself',
      './.',
      'INVALID_ARGUMENT Cannot use "REF": invalid title "./.": it is the volume\'s root; expected a file\'s name; push the artifact again with another name',
    ],
  ])('%s is refused', async ([, title, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal(artifact({ layers: [{ title, content: 'x' }] }))).toBe(message)
  })

  test('of ModelPack that climbs out is refused', async (context) => {
    skipUnless(context, why)
    const annotations = { 'org.cncf.model.filepath': '../../canary/secret' }
    expect(await node.refusal(artifact({ layers: [{ annotations, content: 'x' }] }))).toBe(
      'INVALID_ARGUMENT Cannot use "REF": invalid title "../../canary/secret": it has ".." in it; push the artifact again with another name',
    )
  })

  test('that is empty is none, and the file is named after its digest', async (context) => {
    skipUnless(context, why)
    const layers = [
      { annotations: { [TITLE]: '' }, mediaType: 'application/x-unknown', content: 'x' },
    ]
    expect(Object.keys(await node.tree(artifact({ layers })))).toEqual([
      '.',
      digestOf('x').replace(':', '-'),
    ])
  })

  const odd = artifact({ layers: [{ title: 'ODD', content: 'x' }] })

  test.for<[string, string | Buffer, string]>([
    [
      'of half a surrogate pair, which no file name can carry',
      '\\ud800',
      'DATA_LOSS Cannot use "REF": manifest.layers[0].annotations["org.opencontainers.image.title"]: holds half of a surrogate pair',
    ],
    [
      'of bytes that are no UTF-8',
      Buffer.from([0x61, 0xc0, 0xaf]),
      'DATA_LOSS Cannot use "REF": manifest: not valid UTF-8',
    ],
  ])('%s is refused', async ([, bytes, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal(edited(odd, 'ODD', bytes))).toBe(message)
  })

  test('that another layer has too hides neither', async (context) => {
    skipUnless(context, why)
    const layers = ['one', 'two'].map((content) => ({ title: 'f', content }))
    expect(await node.refusal(artifact({ layers }))).toBe(
      'INVALID_ARGUMENT Cannot use "REF": two layers have the title "f": sha256:HEX and sha256:HEX; expected different titles',
    )
  })

  test('of a directory does not let entries stand beside it', async (context) => {
    skipUnless(context, why)
    const layer = directoryLayer('site', [])
    const content = tarOf([{ path: 'site2/f', content: 'x' }])
    const { 'io.deis.oras.content.digest': _, ...annotations } = layer.annotations
    expect(await node.refusal(artifact({ layers: [{ ...layer, content, annotations }] }))).toBe(
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "site2/f": its name is outside of the layer\'s title "site"',
    )
  })
})

/** The same entries as an untitled layer of an artifact and as an image: the rules for names are the same. */
const FLAVOURS: readonly [string, (entries: readonly TarEntry[]) => Built][] = [
  ['an artifact', (entries) => artifact({ layers: [{ content: tarOf(entries) }] })],
  ['an image', (entries) => image({ layers: [tarOf(entries)] })],
]

describe.for(FLAVOURS)("a name in %s's archive", ([, make]) => {
  test.for<[string, (canary: string, fromTree: string) => TarEntry, string]>([
    [
      'that is absolute',
      (canary) => ({ path: `${canary}/secret` }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "CANARY/secret": its name is absolute; expected a relative path',
    ],
    [
      'that climbs out',
      (_, fromTree) => ({ path: `${fromTree}/secret` }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "../../../../../../../canary/secret": its name has ".." in it',
    ],
    [
      'that climbs out and comes back',
      () => ({ path: '../root/f' }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "../root/f": its name has ".." in it',
    ],
    [
      'that climbs out in a PAX header, behind a harmless one',
      (_, fromTree) => ({ path: 'a', pax: { path: `${fromTree}/secret` } }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "../../../../../../../canary/secret": its name has ".." in it',
    ],
    [
      'that climbs out in a GNU long name',
      (_, fromTree) => ({ path: `${fromTree}/${'./'.repeat(60)}secret`, longNames: 'gnu' }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "../../../../../../../canary/././././././././././././././././././././././././././././././././././././././././././././././././././././././././././././secret": its name has ".." in it',
    ],
    [
      'that climbs out in a ustar prefix',
      () => ({ path: 'secret', header: { prefix: '../../canary' } }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "../../canary/secret": its name has ".." in it',
    ],
    [
      'that is empty',
      () => ({ path: '' }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "": its name is empty',
    ],
    [
      'with a NUL that hides its end',
      () => ({ path: 'a', pax: { path: 'a\0b' } }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "a\\u0000b": its name has a control character',
    ],
    [
      'with a newline',
      () => ({ path: 'a\nb' }),
      'INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "a\\nb": its name has a control character',
    ],
    [
      'that is no UTF-8',
      () => ({ path: Buffer.from([0x61, 0xc0, 0xaf]) }),
      `INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "a\ufffd\ufffd": its name is not valid UTF-8`,
    ],
    [
      'of one component of 256 bytes',
      () => ({ path: 'n'.repeat(256) }),
      `INVALID_ARGUMENT Cannot use "REF": cannot unpack layer HEX: entry "${'n'.repeat(200)}"...: its name has a component of more than 255 bytes`,
    ],
    [
      'of more than 4096 bytes',
      () => ({ path: `${'n'.repeat(200)}/`.repeat(21) }),
      `RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry "${'n'.repeat(200)}"...: its name is longer than 4096 bytes (the limit --max-path-bytes, which an admin can raise)`,
    ],
    [
      'deeper than 64 directories',
      () => ({ path: `${DEEP}f` }),
      `RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry "${DEEP}f": its name is deeper than 64 directories (the limit --max-path-depth, which an admin can raise)`,
    ],
  ])('%s is refused', async ([, entry, message], context) => {
    skipUnless(context, why)
    const attack: Attack = (canary) => make([entry(canary.path, canary.fromTree)])
    expect(await node.refusal(attack)).toBe(message)
  })
})

test('the canary shows a write, a new name, a second name and a new mode', async (context) => {
  skipUnless(context, why)
  const { path } = node.canary
  const before = listing(path)
  expect(listing(path)).toEqual(before)
  linkSync(join(path, 'secret'), join(path, 'second'))
  expect(listing(path)['secret']).not.toBe(before['secret'])
  rmSync(join(path, 'second'))
  expect(listing(path)['secret']).toBe(before['secret'])
  expect(listing(path)['']).not.toBe(before[''])
  writeFileSync(join(path, 'secret'), 'not yours', { mode: 0o600 })
  expect(listing(path)['secret']).not.toBe(before['secret'])
})
