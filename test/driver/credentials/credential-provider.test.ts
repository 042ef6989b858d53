import { expect, test } from 'vitest'
import { parseRegistryPattern } from '../../../common/oci/registry-pattern.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { createCredentialProvider } from '../../../driver/credentials/credential-provider.ts'
import type { ProviderRun } from '../../../driver/credentials/run-provider.ts'

const NEVER = new AbortController().signal
const SECRET = 'hunter2hunter2'

/** A provider for `reg.example`, whose runs end as the test says. */
function provider(
  end: (image: string) => Promise<ProviderRun> | ProviderRun,
  limits: { readonly maxWaiting?: number } = {},
) {
  const images: string[] = []
  const warnings: object[] = []
  const clock = { nowMs: 0 }
  const pattern = parseRegistryPattern('reg.example')
  const made = createCredentialProvider({
    config: {
      name: 'cloud',
      matchImages: pattern === undefined ? [] : [pattern],
      defaultCacheMs: 60_000,
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      args: [],
      env: {},
    },
    run: async (request) => {
      const { image } = JSON.parse(request)
      images.push(image)
      return end(image)
    },
    ...{ maxRuns: 4, ...limits },
    log: { warn: (fields: object) => warnings.push(fields) },
    nowMs: () => clock.nowMs,
  })
  const lookup = (repository: string, registry = 'reg.example') =>
    made.lookup(registry, repository, NEVER)
  return { lookup, provider: made, images, warnings, clock }
}

function answered(fields: object = {}): ProviderRun {
  const response = {
    kind: 'CredentialProviderResponse',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    cacheKeyType: 'Registry',
    auth: { 'reg.example': { username: 'u', password: SECRET } },
    ...fields,
  }
  return { kind: 'answered', stdout: Buffer.from(JSON.stringify(response)) }
}

const FOUND = {
  label: 'credential provider "cloud"',
  credential: { kind: 'basic', username: 'u', password: SECRET },
}

test('gives what its program answers', async () => {
  const { lookup, images } = provider(() => answered())
  expect(await lookup('acme/app')).toStrictEqual([FOUND])
  expect(images).toEqual(['reg.example/acme/app'])
})

test('is not asked about images it is not for', async () => {
  const { lookup, images } = provider(() => answered())
  expect(await lookup('acme/app', 'other.example')).toStrictEqual([])
  expect(images).toEqual([])
})

test.each<[string, object, number]>([
  ['as long as its answer says', { cacheDuration: '30s' }, 30_000],
  ['as long as its configuration says', {}, 60_000],
  ['for the time of a pull, whatever it says', { cacheDuration: '0s' }, 10_000],
])('an answer counts %s', async (_, fields, untilMs) => {
  const { lookup, images, clock } = provider(() => answered(fields))
  await lookup('a')
  clock.nowMs = untilMs - 1
  await lookup('a')
  expect(images).toHaveLength(1)
  clock.nowMs = untilMs
  await lookup('a')
  expect(images).toHaveLength(2)
})

test('an answer without an entry for the image is told', async () => {
  const { lookup, warnings } = provider(() => answered({ auth: {} }))
  expect(await lookup('a')).toStrictEqual([
    { label: 'credential provider "cloud" (no answer for it)', credential: undefined },
  ])
  expect(warnings).toEqual([])
})

test('a failure is told with its reason, logged once, and tried again after the time of a pull', async () => {
  const runs: ProviderRun[] = [
    { kind: 'failed', why: 'exit code 1', detail: 'no role' },
    answered(),
  ]
  const { lookup, warnings, clock } = provider(() => runs.shift() ?? answered())
  const failed = {
    label: 'credential provider "cloud" (exit code 1)',
    credential: undefined,
  }
  expect([await lookup('a'), await lookup('a')]).toStrictEqual([[failed], [failed]])
  expect(warnings).toEqual([
    { provider: 'cloud', image: 'reg.example/a', why: 'exit code 1', stderr: 'no role' },
  ])
  // Another image of the registry may be answered.
  expect(await lookup('b')).toStrictEqual([FOUND])
  clock.nowMs = 10_000
  expect(await lookup('a')).toStrictEqual([FOUND])
})

test('an answer that cannot be used is told without a value', async () => {
  const { lookup, warnings } = provider(() => ({
    kind: 'answered',
    stdout: Buffer.from(`{"password":"${SECRET}"`),
  }))
  expect(await lookup('a')).toStrictEqual([
    { label: 'credential provider "cloud" (an answer that cannot be used)', credential: undefined },
  ])
  expect(warnings).toEqual([
    {
      provider: 'cloud',
      image: 'reg.example/a',
      why: expect.stringMatching(/^answer: not valid JSON/),
    },
  ])
  expect(JSON.stringify(warnings)).not.toContain(SECRET)
})

test('500 names at once are no 500 programs at once: four run', async () => {
  let running = 0
  let most = 0
  const { lookup, images } = provider(
    async () => {
      most = Math.max(most, ++running)
      await new Promise(setImmediate)
      running--
      return answered({ cacheKeyType: 'Image' })
    },
    { maxWaiting: 500 },
  )
  // Its first answer says that each image needs one of its own.
  await lookup('first')
  const found = await Promise.all(Array.from({ length: 500 }, (_, at) => lookup(`a${at}`)))
  expect(found).toStrictEqual(Array(500).fill([FOUND]))
  expect([images.length, most]).toStrictEqual([501, 4])
})

test('the attack: names without end while the program hangs do not pile up, those that are too many are refused', async () => {
  const hangs = Promise.withResolvers<void>()
  const { lookup, images, clock } = provider(
    async (image) => {
      if (image !== 'reg.example/first') await hangs.promise
      return answered({ cacheKeyType: 'Image' })
    },
    { maxWaiting: 10 },
  )
  await lookup('first')
  const tries = Array.from({ length: 1_000 }, (_, at) => lookup(`a${at}`))
  const refused = await Promise.allSettled(tries.slice(14))
  expect(refused).toStrictEqual(
    Array(986).fill({
      status: 'rejected',
      reason: new RequestFailure(
        'UNAVAILABLE',
        'credential provider "cloud" is busy: 10 other images wait for it; the next try asks it again',
      ),
    }),
  )
  // What is known, or asked already, is nobody's burden.
  expect(await lookup('first')).toStrictEqual([FOUND])
  const again = lookup('a3')
  expect(images).toHaveLength(5)
  hangs.resolve()
  expect(await Promise.all([again, ...tries.slice(0, 14)])).toStrictEqual(Array(15).fill([FOUND]))
  expect(images).toHaveLength(15)
  // A refusal is not remembered.
  expect([clock.nowMs, await lookup('a999')]).toStrictEqual([0, [FOUND]])
})

test('a caller who leaves does not take the run along', async () => {
  const run = Promise.withResolvers<ProviderRun>()
  const { provider: made, lookup, images } = provider(() => run.promise)
  const caller = new AbortController()
  const left = made.lookup('reg.example', 'a', caller.signal)
  const stays = lookup('a')
  caller.abort(new Error('left'))
  await expect(left).rejects.toThrow('left')
  run.resolve(answered())
  expect(await stays).toStrictEqual([FOUND])
  expect(images).toHaveLength(1)
  await expect(made.lookup('reg.example', 'a', caller.signal)).rejects.toThrow('left')
})
