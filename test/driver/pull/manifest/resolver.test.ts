import { describe, expect, test } from 'vitest'
import type { Source } from '../../../../common/composition/composition.ts'
import { isCodedError } from '../../../../common/errors.ts'
import { ANONYMOUS } from '../../../../common/oci/credentials.ts'
import type { Digest } from '../../../../common/oci/digest.ts'
import { createHosts } from '../../../../common/oci/hosts.ts'
import { parsePlatform } from '../../../../common/oci/platform.ts'
import { parseReference } from '../../../../common/oci/reference.ts'
import { createRegistrySource } from '../../../../common/oci/registry-source.ts'
import { createResolver } from '../../../../driver/pull/manifest/resolver.ts'
import { DEFAULT_PULL_LIMITS } from '../../../../driver/pull/pull-limits.ts'
import { artifact, type Built, index, push } from '../../../support/artifact.ts'
import { startRegistry, type TestRegistry } from '../../../support/registry.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { openTestStore } from '../../store/open-test-store.ts'

const child = (word: string) => artifact({ layers: [{ title: `${word}.txt`, content: word }] })
const AMD64 = { built: child('amd64'), platform: { os: 'linux', architecture: 'amd64' } }
const ARM64 = { built: child('arm64'), platform: { os: 'linux', architecture: 'arm64' } }
const ARM_V6 = {
  built: child('armv6'),
  platform: { os: 'linux', architecture: 'arm', variant: 'v6' },
}
const ATTESTATION = {
  built: child('attestation'),
  platform: { os: 'unknown', architecture: 'unknown' },
}
const BOTH = index([ATTESTATION, AMD64, ARM64])

/** A resolver of an amd64 node, on a store of its own. What is named in `present` counts as laid out. */
async function openResolver(registry: TestRegistry) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const store = stack.use(await openTestStore(directory.path))
  const hosts = createHosts({ directory: directory.file('none'), plainHttpLoopback: true })
  const resolver = stack.use(
    createResolver({
      ...store,
      source: stack.use(createRegistrySource({ hosts })),
      platform: parsePlatform('linux/amd64'),
      limits: DEFAULT_PULL_LIMITS,
    }),
  )
  const present = new Set<Digest>()
  const open = stack.move()
  return {
    present,
    /** Resolves, and gives the manifest's digest or the error; HOST stands for the registry. */
    async resolve(options: Omit<Source, 'reference'> & { readonly name?: string }) {
      const { name = 'acme/app:v1', ...source } = options
      try {
        const resolved = await resolver.resolve(
          { reference: parseReference(`${registry.host}/${name}`), ...source },
          {
            keyring: ANONYMOUS,
            signal: AbortSignal.timeout(20_000),
            isPresent: async ({ manifestDigest }) => present.has(manifestDigest),
          },
        )
        present.add(resolved.manifestDigest)
        return resolved.manifestDigest
      } catch (error) {
        if (!isCodedError(error)) throw error
        return `${error.code} ${error.message.replaceAll(registry.host, 'HOST')}`
      }
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}

async function registryWith(built: Built): Promise<TestRegistry> {
  const registry = await startRegistry()
  await push(registry.url, 'acme/app:v1', built)
  return registry
}

describe('the platform of a source', () => {
  const arm64 = parsePlatform('linux/arm64')

  test("decides before the node's, when the registry is asked and when it is not", async () => {
    await using registry = await registryWith(BOTH)
    await using resolver = await openResolver(registry)
    expect(await resolver.resolve({})).toBe(AMD64.built.digest)
    expect(await resolver.resolve({ platform: arm64 })).toBe(ARM64.built.digest)
    registry.clearRequests()
    expect(await resolver.resolve({ platform: arm64 })).toBe(ARM64.built.digest)
    expect(await resolver.resolve({})).toBe(AMD64.built.digest)
    expect(await resolver.resolve({ platform: arm64, pullPolicy: 'Never' })).toBe(
      ARM64.built.digest,
    )
    expect(registry.requests).toEqual([])
  })

  test('takes what runs there too, as for the node', async () => {
    await using registry = await registryWith(index([AMD64, ARM_V6]))
    await using resolver = await openResolver(registry)
    expect(await resolver.resolve({ platform: arm64 })).toBe(ARM_V6.built.digest)
  })

  test('does not matter where there is nothing to choose from', async () => {
    await using registry = await registryWith(AMD64.built)
    await using resolver = await openResolver(registry)
    expect(await resolver.resolve({ platform: parsePlatform('linux/s390x') })).toBe(
      AMD64.built.digest,
    )
  })

  test('that there is not is told with those there are, and asked for again when the tag may have moved', async () => {
    await using registry = await registryWith(index([ATTESTATION, AMD64]))
    await using resolver = await openResolver(registry)
    await resolver.resolve({})
    const missing =
      'INVALID Cannot use "HOST/acme/app:v1": no manifest for platform "linux/arm64": the index has linux/amd64'
    expect(await resolver.resolve({ platform: arm64 })).toBe(missing)
    await push(registry.url, 'acme/app:v1', BOTH)
    expect(await resolver.resolve({ platform: arm64, pullPolicy: 'Never' })).toBe(missing)
    expect(await resolver.resolve({ platform: arm64 })).toBe(ARM64.built.digest)
  })

  test('of a digest that has it not is told without end, and without asking again', async () => {
    await using registry = await registryWith(index([AMD64]))
    const name = `acme/app@${index([AMD64]).digest}`
    await using resolver = await openResolver(registry)
    const first = await resolver.resolve({ name, platform: arm64 })
    expect(first).toMatch(/^INVALID .* the index has linux\/amd64$/)
    registry.clearRequests()
    expect(await resolver.resolve({ name, platform: arm64 })).toBe(first)
    expect(registry.requests).toEqual([])
  })

  test('is looked for in an index of Docker, and in one within another', async () => {
    await using registry = await registryWith(index([index([BOTH])], { flavour: 'docker' }))
    await using resolver = await openResolver(registry)
    expect(await resolver.resolve({ platform: arm64 })).toBe(ARM64.built.digest)
  })
})
