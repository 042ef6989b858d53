import { expect, test } from 'vitest'
import { openApiClient } from '../../../common/kubernetes/api-client.ts'
import { createStartupTaint } from '../../../driver/startup-taint/startup-taint.ts'
import { taintKey } from '../../../driver/startup-taint/taint.ts'
import { type Fault, startApiImitation } from '../../support/api-imitation.ts'
import { poll } from '../../support/poll.ts'
import { silentLog } from '../store/open-test-store.ts'

const KEY = 'csi.oras.land/agent-not-ready'
const NODE = '/api/v1/nodes/node-1'
const OURS = { key: KEY, effect: 'NoExecute' }
const OTHER = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule', timeAdded: null }
const WAIT = { deadlineMs: 30_000, what: 'the taint to go' }

async function setUp(taints: unknown) {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startApiImitation())
  const node = (found: unknown) => ({
    kind: 'Node',
    metadata: { name: 'node-1' },
    spec: { podCIDR: '10.0.0.0/24', ...(found !== undefined && { taints: found }) },
  })
  server.objects.set(NODE, node(taints))
  const api = stack.use(
    openApiClient({ account: { url: server.url, directory: server.accountDirectory } }),
  )
  const options = { api, node: 'node-1', key: KEY, log: silentLog(), backoffMs: 1 }
  const startup = stack.use(createStartupTaint(options))
  const made = stack.move()
  return {
    ...{ server, startup },
    setTaints: (found: unknown) => server.objects.set(NODE, node(found)),
    taints: () => (server.objects.get(NODE) as ReturnType<typeof node>).spec.taints,
    methods: () => server.calls.map(({ method }) => method),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

test.each([
  { name: 'alone', before: [OURS], after: [] },
  { name: 'first of two', before: [OURS, OTHER], after: [OTHER] },
  { name: 'last of two', before: [OTHER, OURS], after: [OTHER] },
  {
    name: 'with two effects',
    before: [OURS, OTHER, { key: KEY, effect: 'NoSchedule' }],
    after: [OTHER],
  },
  { name: 'with a value', before: [{ ...OURS, value: 'x' }], after: [] },
])(
  'the taint goes once the kubelet has registered the driver: $name',
  async ({ before, after }) => {
    await using set = await setUp(before)
    expect(set.server.calls).toEqual([])
    set.startup.registered()
    await poll(() => set.startup.isGone, WAIT)
    expect(set.taints()).toEqual(after)
  },
)

test.each([[[OTHER]], [[]], [undefined]])(
  'a node that has none is left alone: %j',
  async (taints) => {
    await using set = await setUp(taints)
    set.startup.registered()
    await poll(() => set.startup.isGone, WAIT)
    expect(set.methods()).toEqual(['GET'])
    expect(set.taints()).toEqual(taints)
  },
)

test('who changes the taints between look and change loses nothing, and ours goes all the same', async () => {
  await using set = await setUp([OURS])
  set.server.fault = ({ method }) => {
    if (method === 'PATCH' && set.methods().filter((found) => found === 'PATCH').length === 1) {
      set.setTaints([OTHER, OURS])
    }
    return undefined
  }
  set.startup.registered()
  await poll(() => set.startup.isGone, WAIT)
  expect(set.taints()).toEqual([OTHER])
  expect(set.methods()).toEqual(['GET', 'PATCH', 'GET', 'PATCH'])
})

test.each<{ name: string; fault: Fault }>([
  { name: 'refuses', fault: { status: 403, message: 'nodes is forbidden' } },
  { name: 'has a conflict', fault: { status: 409, message: 'the object has been modified' } },
  { name: 'does not know the node yet', fault: { status: 404, message: 'not found' } },
  { name: 'is broken', fault: { status: 500, message: 'etcd' } },
  { name: 'closes connections', fault: 'close' },
  { name: 'says something else than a node', fault: 'nonsense' },
])('an API server that $name is asked until it works', async ({ fault }) => {
  await using set = await setUp([OURS])
  let calls = 0
  set.server.fault = () => (++calls <= 3 ? fault : undefined)
  set.startup.registered()
  await poll(() => set.startup.isGone, WAIT)
  expect(set.taints()).toEqual([])
})

test('a node that was registered anew with its taint loses it again', async () => {
  await using set = await setUp([OURS])
  set.startup.registered()
  await poll(() => set.startup.isGone, WAIT)
  set.setTaints([OURS])
  await poll(() => {
    set.startup.registered()
    return set.taints()?.toString() === ''
  }, WAIT)
})

test('the end of the driver waits for no API server', async () => {
  const set = await setUp([OURS])
  set.server.fault = () => 'hang'
  set.startup.registered()
  await poll(() => set.server.calls.length === 1, WAIT)
  await set[Symbol.asyncDispose]()
  expect(set.startup.isGone).toBe(false)
})

test.each([KEY, 'startup', 'a.b/c_d.e'])('%s is the key of a taint', (key) => {
  expect(taintKey(key)).toBe(key)
})

test.each(['', `${KEY}:NoExecute`, `${KEY}=true`, 'a/b/c', '../x', 'a b', `a/${'x'.repeat(64)}`])(
  '%j is none',
  (key) => {
    expect(() => taintKey(key)).toThrow(
      'expected the key of a taint, without value and effect, e.g. "csi.oras.land/agent-not-ready"',
    )
  },
)
