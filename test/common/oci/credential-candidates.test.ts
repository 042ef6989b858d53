import { describe, expect, test } from 'vitest'
import {
  type Candidate,
  listCandidates,
  type NodeKeyring,
} from '../../../common/oci/credential-candidates.ts'
import { ANONYMOUS, type Keyring, keyringOf } from '../../../common/oci/credentials.ts'
import { createHosts } from '../../../common/oci/hosts.ts'
import { createRegistrySource } from '../../../common/oci/registry-source.ts'
import { artifact, push } from '../../support/artifact.ts'
import { startRegistry } from '../../support/registry.ts'

const signal = new AbortController().signal
const basic = (username: string, password: string) =>
  ({ kind: 'basic', username, password }) as const

function keyring(registry: string, username: string, password: string): Keyring {
  const config = JSON.stringify({ auths: { [registry]: { username, password } } })
  return keyringOf({ '.dockerconfigjson': config }, { label: 'secret of the volume' })
}

/** Finds the users given, and counts how many were looked for. */
function nodeKeyring(
  ...users: readonly (readonly [label: string, password?: string])[]
): NodeKeyring & { readonly looked: () => number } {
  let looked = 0
  return {
    async *lookup() {
      for (const [label, password] of users) {
        looked += 1
        yield { label, credential: password === undefined ? undefined : basic(label, password) }
      }
    },
    looked: () => looked,
  }
}

describe('the ways to ask', () => {
  test("are the caller's credentials, then the node's, then none", async () => {
    const tried = new Set<string>()
    const request = {
      keyring: keyring('ghcr.io', 'pod', 'p'),
      nodeKeyring: nodeKeyring(['config', 'c'], ['broken'], ['program', 'x']),
      registry: 'ghcr.io',
      repository: 'acme/app',
      signal,
    }
    const candidates: Candidate[] = []
    for await (const candidate of listCandidates(request, tried)) candidates.push(candidate)
    expect(candidates).toStrictEqual([
      { label: 'secret of the volume', credential: basic('pod', 'p'), proves: 'caller' },
      { label: 'config', credential: basic('config', 'c'), proves: 'anyone' },
      { label: 'program', credential: basic('program', 'x'), proves: 'anyone' },
      { label: 'anonymous access', credential: undefined, proves: 'anyone' },
    ])
    expect([...tried]).toEqual([
      'secret of the volume',
      'config',
      'broken',
      'program',
      'anonymous access',
    ])
  })
})

describe('a registry', () => {
  async function start(node: NodeKeyring) {
    const stack = new AsyncDisposableStack()
    const registry = stack.use(
      await startRegistry({ auth: { kind: 'bearer', users: { pod: 'p', config: 'c' } } }),
    )
    const built = artifact({ layers: [{ title: 'a', content: 'a' }] })
    await push(registry.url, 'acme/app:v1', built, {
      credential: { username: 'pod', password: 'p' },
    })
    const source = stack.use(
      createRegistrySource({
        hosts: createHosts({ plainHttpLoopback: true }),
        nodeKeyring: node,
      }),
    )
    const reference = { registry: registry.host, repository: 'acme/app', tag: 'v1' }
    return {
      registry,
      manifest: (caller: Keyring, until = signal) =>
        source.manifest(reference, { keyring: caller, signal: until }),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  }

  test("that takes the caller's credential proves his access, and nobody looks for the node's", async () => {
    const node = nodeKeyring(['config', 'c'])
    await using it = await start(node)
    const { credential } = await it.manifest(keyring(it.registry.host, 'pod', 'p'))
    expect(credential).toStrictEqual(basic('pod', 'p'))
    expect(node.looked()).toBe(0)
  })

  test("that takes the node's credential proves what anyone may read, whatever the caller came with", async () => {
    const node = nodeKeyring(['program that is not there'], ['config', 'c'], ['never reached', 'x'])
    await using it = await start(node)
    for (const caller of [ANONYMOUS, keyring(it.registry.host, 'pod', 'wrong')]) {
      expect((await it.manifest(caller)).credential).toBe(undefined)
    }
    expect(node.looked()).toBe(4)
  })

  test('that takes none says all that was tried', async () => {
    await using it = await start(nodeKeyring(['program (exit code 1)'], ['config', 'wrong']))
    await expect(it.manifest(keyring(it.registry.host, 'pod', 'wrong'))).rejects.toThrow(
      /; tried secret of the volume, program \(exit code 1\), config, anonymous access$/,
    )
  })

  test('is not asked on when the caller goes away', async () => {
    const controller = new AbortController()
    await using it = await start({
      async *lookup(_registry, _repository, own) {
        controller.abort(new Error('gone'))
        own.throwIfAborted()
        yield { label: 'never reached', credential: undefined }
      },
    })
    await expect(it.manifest(ANONYMOUS, controller.signal)).rejects.toThrow('gone')
  })
})
