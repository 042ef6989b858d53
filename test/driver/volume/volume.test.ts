import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isCodedError } from '../../../common/errors.ts'
import { type PublishRequest, parseVolume } from '../../../driver/volume/volume.ts'

const REQUEST: PublishRequest = {
  volumeId: 'csi-1',
  targetPath: '/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/app/mount',
  accessType: 'mount',

  readOnly: true,
  volumeContext: {
    'oras.artifact.reference': 'ghcr.io/acme/app:v1',
    'csi.storage.k8s.io/ephemeral': 'true',
    'csi.storage.k8s.io/pod.name': 'app-1',
    'csi.storage.k8s.io/pod.namespace': 'shop',
    'csi.storage.k8s.io/pod.uid': 'u',
    'csi.storage.k8s.io/serviceAccount.name': 'default',
  },
  secrets: {},
}

function withContext(context: Record<string, string | undefined>): PublishRequest {
  const merged = { ...REQUEST.volumeContext, ...context }
  const entries = Object.entries(merged).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, value] as const],
  )
  return { ...REQUEST, volumeContext: Object.fromEntries(entries) }
}

test('a request of the kubelet becomes a volume', () => {
  const { keyring, requestHash, ...volume } = parseVolume(REQUEST)
  expect(volume).toEqual({
    id: 'csi-1',
    target: REQUEST.targetPath,
    pod: { namespace: 'shop', name: 'app-1', uid: 'u' },
    spec: {
      sources: [{ reference: { registry: 'ghcr.io', repository: 'acme/app', tag: 'v1' } }],
      subPaths: [],
      plainHttp: false,
      insecure: false,
    },
  })
  expect(keyring.lookup('ghcr.io', 'acme/app')).toEqual([])
  expect(requestHash).toMatch(/^[0-9a-f]{64}$/)
})

describe('the hash of a request', () => {
  const hash = (request: PublishRequest) => parseVolume(request).requestHash

  test('is the same when the kubelet repeats itself, with a rotated secret or another service account token', () => {
    const config = JSON.stringify({ auths: { 'ghcr.io': { username: 'a', password: 'new' } } })
    expect(hash({ ...REQUEST, secrets: { '.dockerconfigjson': config } })).toBe(hash(REQUEST))
    expect(
      hash(withContext({ 'csi.storage.k8s.io/serviceAccount.tokens': '{"":{"token":"t"}}' })),
    ).toBe(hash(REQUEST))
  })

  test.for([
    ['another target', { ...REQUEST, targetPath: '/var/lib/kubelet/pods/v/mount' }],
    ['another reference', withContext({ 'oras.artifact.reference': 'ghcr.io/acme/app:v2' })],
    ['a further attribute', withContext({ 'oras.options.pullpolicy': 'Always' })],
  ] as const)('differs for %s', ([, other]) => expect(hash(other)).not.toBe(hash(REQUEST)))
})

test.for([
  ['no volume id', { ...REQUEST, volumeId: '' }, 'Missing volume_id'],
  ['no target', { ...REQUEST, targetPath: '' }, 'Missing target_path'],
  [
    'a relative target',
    { ...REQUEST, targetPath: 'pods/mount' },
    'Invalid target_path "pods/mount": expected an absolute path',
  ],
  [
    'a target that climbs',
    { ...REQUEST, targetPath: '/var/lib/kubelet/../../etc' },
    'Invalid target_path "/var/lib/kubelet/../../etc": expected a clean path: "/var/etc"',
  ],
  [
    'the root directory',
    { ...REQUEST, targetPath: '/' },
    'Invalid target_path "/": the root directory is no target',
  ],
  ['no capability', { ...REQUEST, accessType: undefined }, 'Missing volume_capability'],
  [
    'a block volume',
    { ...REQUEST, accessType: 'block' as const },
    'Invalid volume_capability: block; artifacts are mounted as files',
  ],
  [
    'a persistent volume',
    withContext({ 'csi.storage.k8s.io/ephemeral': undefined }),
    'Not an inline volume: expected a pod\'s "csi" volume and the CSIDriver object with podInfoOnMount: true and volumeLifecycleModes: [Ephemeral]',
  ],
  [
    "a forged key of the kubelet's",
    withContext({ 'csi.storage.k8s.io/pod.nam': 'x' }),
    'Unknown volume attribute "csi.storage.k8s.io/pod.nam"; did you mean "csi.storage.k8s.io/pod.name"?',
  ],
] as const)('%s is refused', ([, request, message]) => {
  expect(() => parseVolume(request)).toThrow(message)
})

test('whatever the attributes are, the answer is a volume or INVALID', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.oneof(fc.string(), fc.constantFrom('oras.artifact.reference', 'oras.options.subpaths')),
        fc.string({ unit: 'binary' }),
      ),
      (attributes) => {
        try {
          parseVolume({ ...REQUEST, volumeContext: { ...REQUEST.volumeContext, ...attributes } })
        } catch (error) {
          expect(isCodedError(error, 'INVALID')).toBe(true)
        }
      },
    ),
  )
})
