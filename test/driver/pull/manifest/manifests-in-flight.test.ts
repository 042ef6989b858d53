import { describe, expect, test } from 'vitest'
import type { ArtifactSource } from '../../../../common/oci/artifact-source.ts'
import { ANONYMOUS } from '../../../../common/oci/credentials.ts'
import { parsePlatform } from '../../../../common/oci/platform.ts'
import { parseReference } from '../../../../common/oci/reference.ts'
import { createResolver } from '../../../../driver/pull/manifest/resolver.ts'
import { DEFAULT_PULL_LIMITS } from '../../../../driver/pull/pull-limits.ts'
import { artifact } from '../../../support/artifact.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { openTestStore } from '../../store/open-test-store.ts'

const { manifest, mediaType, digest } = artifact({ layers: [{ title: 'a.txt', content: 'a' }] })

/** A resolver, and registries that hold every manifest at its last byte until they are told. */
async function openResolver(
  options: Pick<Parameters<typeof createResolver>[0], 'manifestTurns'> = {},
) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const store = stack.use(await openTestStore(directory.path))
  const released = Promise.withResolvers<void>()
  const inFlight: string[] = []
  let most = 0
  const source: ArtifactSource = {
    resolve: () => Promise.reject(new Error('unused')),
    async manifest({ registry }, { signal }) {
      inFlight.push(registry)
      most = Math.max(most, inFlight.length)
      const { promise: gone, reject } = Promise.withResolvers<never>()
      signal.addEventListener('abort', () => reject(signal.reason))
      try {
        if (!registry.startsWith('good')) await Promise.race([released.promise, gone])
      } finally {
        inFlight.splice(inFlight.indexOf(registry), 1)
      }
      const descriptor = { mediaType, digest, size: manifest.length, annotations: {} }
      return { descriptor, bytes: manifest, credential: undefined, authoritative: true }
    },
    blob: () => {
      throw new Error('unused')
    },
  }
  const resolver = stack.use(
    createResolver({
      ...{ ...store, source, ...options },
      platform: parsePlatform('linux/amd64'),
      limits: DEFAULT_PULL_LIMITS,
    }),
  )
  const open = stack.move()
  const { access } = store
  return {
    inFlight,
    most: () => most,
    release: released.resolve,
    async resolve(name: string) {
      const reference = parseReference(name)
      const call = {
        keyring: ANONYMOUS,
        signal: AbortSignal.timeout(30_000),
        isPresent: async () => false,
      }
      return (await resolver.resolve({ reference }, call)).digest
    },
    /** By then everybody who came before has looked at the disk, and asked what he may. */
    async settle() {
      for (let look = 0; look < 100; look++) {
        await access.tagDigest(parseReference(`settle.example/x:v${look}`), ['nobody'])
      }
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}

describe('manifests on their way', () => {
  test('attack: sixty that are held at the last byte, of twenty registries, are sixteen at once', async () => {
    await using node = await openResolver()
    const names = Array.from({ length: 60 }, (_, n) => `r${n % 20}.example/x:v${n}`)
    const all = Promise.all(names.map((name) => node.resolve(name)))
    await expect.poll(() => node.inFlight.length, { timeout: 20_000 }).toBe(16)
    await node.settle()
    expect(node.inFlight.length).toBe(16)
    node.release()
    expect(new Set(await all)).toEqual(new Set([digest]))
    expect(node.most()).toBe(16)
  })

  test('attack: a registry that sends none does not stop the others', async () => {
    await using node = await openResolver()
    const held = Promise.all(
      Array.from({ length: 40 }, (_, n) => node.resolve(`evil.example/x:v${n}`)),
    )
    await expect.poll(() => node.inFlight.length, { timeout: 20_000 }).toBe(4)
    await node.settle()
    expect(node.inFlight).toEqual(Array.from({ length: 4 }, () => 'evil.example'))
    expect(await node.resolve('good.example/x:v1')).toBe(digest)
    node.release()
    await held
  })

  test('attack: as many registries as there are turns give way to one that answers', async () => {
    await using node = await openResolver({
      manifestTurns: { total: 2, patience: { windowMs: 5, minBytesPerSecond: 1 } },
    })
    const held = Promise.allSettled([
      node.resolve('evil1.example/x:v1'),
      node.resolve('evil2.example/x:v1'),
    ])
    await expect.poll(() => node.inFlight.length, { timeout: 20_000 }).toBe(2)
    expect(await node.resolve('good.example/x:v1')).toBe(digest)
    expect(
      (await held).map((one) => (one.status === 'rejected' ? String(one.reason) : one.status)),
    ).toEqual(
      ['evil1', 'evil2'].map((name) =>
        expect.stringContaining(
          `Cannot pull "${name}.example/x:v1": the registry has not sent the manifest in 0 s, and other manifests waited for their turn`,
        ),
      ),
    )
  })
})
