import { readdir, readFile, stat } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Digest, digestHex, digestOf } from '../../common/oci/digest.ts'
import { artifact, load } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { type Content, generatedContent } from '../support/registry/content.ts'
import type { Fault } from '../support/registry/faults.ts'
import type { LoggedRequest } from '../support/registry/request-log.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

// What a registry, or what lies before it, does wrong, as a pod meets it: each case publishes a volume of a large blob, which comes over
// a download thread, and a small one, which comes inline.

const why = await whyNoMounts()
const BIG_BYTES = 12 * 1024 * 1024 + 5
/** Five tries of a second each, and what is waited in between, on a busy machine. */
const STALLED_MS = 60_000
const SMALL_BYTES = 300 * 1024 + 7

/** One blob of a case. */
interface CaseBlob {
  readonly content: Content
  readonly digest: Digest
  /** Its requests. */
  readonly get: { readonly method: 'GET'; readonly path: string }
}

/** An artifact that no other case has. */
interface Case {
  readonly name: string
  readonly big: CaseBlob
  readonly small: CaseBlob
}

interface Ground extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly node: TestNode
  readonly driver: TestDriver
}

let ground: Ground
let cases = 0

beforeAll(async () => {
  if (why !== undefined) return
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  const node = stack.use(await startNode(registry))
  // The shortest that can be said, one connection: how many there are depends on time.
  const args = ['--max-stall', '1s', '--max-connections-per-blob', '1']
  const driver = stack.use(await node.startDriver({ args }))
  const owned = stack.move()
  ground = { registry, node, driver, [Symbol.asyncDispose]: () => owned.disposeAsync() }
})

afterAll(async () => {
  await ground?.[Symbol.asyncDispose]()
})

const TENTHS = Array.from({ length: 10 }, (_, tenth) => tenth)

describe('a connection that is reset', () => {
  test.for(TENTHS)('after %i tenths of a blob is made again', async (tenth, context) => {
    skipUnless(context, why)
    const made = prepare()
    for (const { get, content } of [made.big, made.small]) {
      const afterBytes = Math.floor((content.size * tenth) / 10)
      ground.registry.fault({ ...get, times: 1 }, { kind: 'reset', afterBytes })
    }
    await expectServed(made)
    for (const blob of [made.big, made.small]) expect(requestsOf(blob).length).toBe(2)
  })

  test('again after each tenth: what each brought is not asked for again', async (context) => {
    skipUnless(context, why)
    const made = prepare()
    for (const { get, content } of [made.big, made.small]) {
      const afterBytes = Math.ceil(content.size / 10)
      ground.registry.fault(get, { kind: 'truncate', afterBytes })
    }
    await expectServed(made)
    for (const blob of [made.big, made.small]) {
      const tenth = Math.ceil(blob.content.size / 10)
      const last = blob.content.size - 1
      expect(requestsOf(blob).map(({ range }) => range)).toEqual([
        undefined,
        ...TENTHS.slice(1).map((index) => `bytes=${index * tenth}-${last}`),
      ])
    }
  })
})

describe('is served although the registry', () => {
  test.for([
    ['answers 500 three times', [{ kind: 'status', status: 500 }, 3]],
    ['answers 503 three times', [{ kind: 'status', status: 503 }, 3]],
    [
      'answers 429 and wants a second',
      [{ kind: 'status', status: 429, headers: { 'retry-after': '1' } }, 1],
    ],
    ['hangs up three times without an answer', [{ kind: 'disconnect' }, 3]],
    ['sends more than it says', [{ kind: 'surplus', bytes: 70_000 }, 1]],
    ['does not say how much it sends', [{ kind: 'chunked' }, 1]],
  ] as const satisfies readonly (readonly [string, readonly [Fault, number]])[])(
    '%s',
    async ([, [fault, times]], context) => {
      skipUnless(context, why)
      const made = prepare()
      const faults = [made.big, made.small].map(({ get }) =>
        ground.registry.fault({ ...get, times }, fault),
      )
      await expectServed(made)
      expect(faults.map(({ hits }) => hits)).toEqual([times, times])
    },
  )

  test.for([
    ['another range than was asked for', { kind: 'content-range' }],
    ['another size in its ranges', { kind: 'content-range', value: 'bytes 100-199/200' }],
    ['the whole instead of a range', { kind: 'ignore-range' }],
  ] as const satisfies readonly (readonly [string, Fault])[])(
    'sends %s',
    async ([, fault], context) => {
      skipUnless(context, why)
      const made = prepare()
      for (const { get, content } of [made.big, made.small]) {
        const afterBytes = Math.floor(content.size / 2)
        ground.registry.fault({ ...get, times: 1 }, { kind: 'truncate', afterBytes })
        ground.registry.fault({ ...get, where: ({ range }) => range !== undefined }, fault)
      }
      await expectServed(made)
      for (const blob of [made.big, made.small]) {
        // The part is refused, and the beginning of the whole passed over.
        expect(requestsOf(blob).map(({ range }) => range)).toEqual([
          undefined,
          expect.stringMatching(/^bytes=/),
          undefined,
        ])
      }
    },
  )

  test('stops in the middle of a blob and never goes on', async (context) => {
    skipUnless(context, why)
    const made = prepare()
    using gates = new DisposableStack()
    for (const { get, content } of [made.big, made.small]) {
      const afterBytes = Math.floor(content.size / 2)
      gates.use(ground.registry.hold({ ...get, times: 1, afterBytes }))
    }
    await expectServed(made)
    for (const blob of [made.big, made.small]) expect(requestsOf(blob).length).toBe(2)
  })

  test('sends the client to another host, which gets no Authorization', async (context) => {
    skipUnless(context, why)
    await using storage = await startRegistry()
    await using registry = await startRegistry({
      auth: { kind: 'bearer', users: { alice: 'sesame' } },
    })
    await ground.node.configure(registry.host, `server = "${registry.url}"`)
    const made = prepare(registry)
    for (const { content, get } of [made.big, made.small]) {
      storage.addBlob(made.name, content)
      registry.fault(get, { kind: 'redirect', to: storage.url })
      // So that a rest is asked for, too.
      storage.fault({ ...get, times: 1 }, { kind: 'truncate', afterBytes: content.size / 2 })
    }
    await expectServed(made, registry)
    expect(registry.requests.some(({ authorization }) => authorization === 'bearer')).toBe(true)
    expect(storage.requests.length).toBe(4)
    expect(storage.requests.map(({ headers }) => headers.authorization)).toEqual(
      storage.requests.map(() => undefined),
    )
  })
})

describe('is refused with the reason when the registry', () => {
  test.for([
    [
      'sends more than the manifest says',
      [{ kind: 'resize', by: 2 }],
      'DATA_LOSS Cannot pull "REF": registry sends MORE bytes of blob BLOB; expected SIZE',
    ],
    [
      'sends less than the manifest says',
      [{ kind: 'resize', by: -2 }],
      'DATA_LOSS Cannot pull "REF": registry sends LESS bytes of blob BLOB; expected SIZE',
    ],
    [
      'sends more than the manifest says, without saying how much',
      [{ kind: 'resize', by: 2 }, { kind: 'chunked' }],
      'DATA_LOSS Cannot pull "REF": registry sent more than the SIZE bytes of blob BLOB',
    ],
    [
      'sends less than the manifest says, without saying how much',
      [{ kind: 'resize', by: -2 }, { kind: 'chunked' }],
      'DATA_LOSS Cannot pull "REF": registry sent LESS of the SIZE bytes of blob BLOB',
    ],
    [
      'sends other bytes',
      [{ kind: 'corrupt', at: 1000 }],
      'DATA_LOSS Cannot pull "REF": the bytes of blob BLOB hash to DIGEST',
    ],
  ] as const satisfies readonly (readonly [string, readonly Fault[], string])[])(
    '%s',
    async ([, faults, message], context) => {
      skipUnless(context, why)
      for (const which of ['big', 'small'] as const) {
        const made = prepare()
        const { get, digest } = made[which]
        const active = faults.map((fault) => ground.registry.fault(get, fault))
        expect(await refusal(made, made[which])).toBe(message)
        await expectNothingOf(made)
        // What is wrong is not kept.
        const left = await readdir(`${ground.node.storeDirectory}/ingest`)
        expect(left.filter((name) => name.includes(digestHex(digest)))).toEqual([])
        for (const fault of active) fault.remove()
        await expectServed(made)
      }
    },
  )

  test('stops in the middle of a blob each time; others are served meanwhile', {
    timeout: STALLED_MS,
  }, async (context) => {
    skipUnless(context, why)
    const made = prepare()
    const other = prepare()
    using gates = new DisposableStack()
    const held = [made.big, made.small].map(({ get, content }) => {
      // A try that brings something does not count as one in vain.
      const where = ({ range }: LoggedRequest) => range !== undefined
      gates.use(ground.registry.hold({ ...get, where, afterBytes: 0 }))
      const afterBytes = Math.floor(content.size / 2)
      return gates.use(ground.registry.hold({ ...get, times: 1, afterBytes }))
    })
    let settled = false
    const refused = refusal(made, made.big).finally(() => {
      settled = true
    })
    await Promise.all(held.map(({ arrived }) => arrived))
    await expectServed(other)
    expect(settled).toBe(false)
    expect(await refused).toBe('UNAVAILABLE Cannot pull "REF": no byte from "URL" for 1 s')
    await expectNothingOf(made)
    gates.dispose()
    ground.registry.clearRequests()
    await expectServed(made)
    // What had come was kept. The download that did not give up first goes on for a while, and may have ended now.
    const asked = [made.big, made.small].map((blob) => {
      const half = Math.floor(blob.content.size / 2)
      const ranges = requestsOf(blob).map(({ range }) => range)
      expect(ranges).toEqual(ranges.map(() => `bytes=${half}-${blob.content.size - 1}`))
      return ranges.length
    })
    expect([
      [1, 1],
      [1, 0],
      [0, 1],
    ]).toContainEqual(asked)
  })
})

/** Puts an artifact into a registry. */
function prepare(registry = ground.registry): Case {
  cases += 1
  const name = `acme/case-${cases}`
  const put = (size: number): CaseBlob => {
    const content = generatedContent(size, cases)
    const digest = registry.addBlob(name, content)
    return { content, digest, get: { method: 'GET', path: `/v2/${name}/blobs/${digest}` } }
  }
  const [big, small] = [put(BIG_BYTES), put(SMALL_BYTES)]
  const layers = Object.entries({ big, small }).map(([title, { digest, content }]) => ({
    ...{ title, digest, size: content.size },
  }))
  load(registry, `${name}:v1`, artifact({ layers }))
  return { name, big, small }
}

function requestsOf({ get }: CaseBlob): readonly LoggedRequest[] {
  return ground.registry.requests.filter(({ path }) => path === get.path)
}

/** Publishes, looks, and unpublishes. */
async function expectServed(made: Case, registry = ground.registry): Promise<void> {
  const request = await requestFor(made, registry)
  await ground.driver.csi.nodePublishVolume(request)
  try {
    const found = ['big', 'small'].map(async (title) =>
      digestOf(await readFile(`${request.target_path}/${title}`)),
    )
    expect(await Promise.all(found)).toEqual([made.big.digest, made.small.digest])
  } finally {
    await ground.driver.csi.nodeUnpublishVolume(request)
  }
}

/** Publishes what must be refused. Gives code and message, with names for what differs. */
async function refusal(made: Case, { digest, content }: CaseBlob): Promise<string> {
  const request = await requestFor(made, ground.registry)
  const error: { code: number; details: string } = await ground.driver.csi
    .nodePublishVolume(request, { deadlineMs: STALLED_MS })
    .then(
      () => ({ code: status.OK, details: 'published' }),
      (reason) => reason,
    )
  const details = error.details
    .replace(`${ground.registry.host}/${made.name}:v1`, 'REF')
    .replace(ground.registry.url, 'URL')
    .replace(digest, 'BLOB')
    .replace(/sha256:[0-9a-f]{64}/, 'DIGEST')
    .replace(` ${content.size + 2} `, ' MORE ')
    .replace(` ${content.size - 2} `, ' LESS ')
    .replace(new RegExp(`\\b${content.size}\\b`), 'SIZE')
  return `${status[error.code]} ${details}`
}

/** Nobody sees anything of it. */
async function expectNothingOf(made: Case): Promise<void> {
  const { node, registry } = ground
  const { target_path } = await requestFor(made, registry)
  await expect(stat(target_path)).rejects.toMatchObject({ code: 'ENOENT' })
  expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  expect(await readdir(`${node.storeDirectory}/staging`)).toEqual([])
}

function requestFor({ name }: Case, { host }: TestRegistry) {
  return ground.node.request(name.replace('acme/', ''), `${host}/${name}:v1`, {
    secret: {
      '.dockerconfigjson': JSON.stringify({
        auths: { [host]: { username: 'alice', password: 'sesame' } },
      }),
    },
  })
}
