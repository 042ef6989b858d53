import { expect, test } from 'vitest'
import { createHostFallback } from '../../../common/oci/host-fallback.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { createSilence } from '../../../common/oci/silence.ts'
import { anonymously } from './artifact-source.conformance.ts'
import { PLAIN_HOST, PLAIN_MIRROR } from './hosts-fixture.ts'

const MIRROR = 'https://mirror.example/v2'

/** One mirror for all registries, which fails for those that the test names so; answers who was asked. */
function oneMirror() {
  const clock = { nowMs: 0 }
  const fallback = createHostFallback({
    hosts: {
      lookup: async (registry) => ({
        hosts: [
          { ...PLAIN_MIRROR, base: MIRROR, namespace: registry },
          { ...PLAIN_HOST, base: `https://${registry}/v2` },
        ],
      }),
    },
    retry: { attempts: 1 },
    silence: createSilence({ patienceMs: 1_000, nowMs: () => clock.nowMs }),
    nowMs: () => clock.nowMs,
    log: undefined,
  })
  return async (registry: string, failure?: RequestFailure): Promise<readonly string[]> => {
    const asked: string[] = []
    const reference = { registry, repository: 'acme/app', tag: 'v1' }
    await fallback.ask({ ...anonymously(), reference, needs: 'pull' }, async (host) => {
      const base = host.kind === 'registry' ? host.base : host.kind
      asked.push(base)
      if (base !== MIRROR || failure === undefined) return
      clock.nowMs += 1_000
      throw failure
    })
    return asked
  }
}

test.each([
  [
    'hangs',
    new RequestFailure('UNAVAILABLE', 'no byte', { transient: true, cause: new Error('hangs') }),
    ['https://evil.example/v2'],
  ],
  [
    'cannot be reached',
    new RequestFailure('UNAVAILABLE', 'cannot connect', { unreachable: true }),
    ['https://evil.example/v2'],
  ],
])(
  'a name for which a mirror %s refuses the mirror to nobody who asks for another',
  async (_, failure, later) => {
    const ask = oneMirror()
    await ask('evil.example', failure)
    expect(await ask('evil.example')).toStrictEqual(later)
    expect(await ask('ghcr.io')).toStrictEqual([MIRROR])
  },
)
