import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Store } from '../../../../driver/store/store.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { openTestStore } from '../open-test-store.ts'
import { addTree, keyOf, lease, testEvictor, wordOf } from './eviction-fixture.ts'

const WORDS = ['a', 'b', 'c', 'd'] as const
/** More than are published at once, or nothing could be evicted. */
const MANY_WORDS = Array.from({ length: 30 }, (_, number) => `word-${number}.`)

test('many publish while everything that can be is evicted, again and again: what a lease names is there until the lease goes', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  let evicted = 0
  await using evictor = testEvictor(store, { maxBytes: 1 }, { onEvicted: () => (evicted += 1) })
  let rebuilt = 0
  let running = 0

  /** As a publish does it: lease first, then look, then make what is missing. */
  const publish = async (volume: string, word: string) => {
    const key = keyOf(word)
    await store.leases.put(lease(volume, [key]))
    let tree = await store.trees.get(key)
    if (tree === undefined) {
      rebuilt += 1
      await addTree(store, word)
      tree = await store.trees.get(key)
    }
    if (tree === undefined) throw new Error(`${word} is gone right after it was made`)
    for (let look = 0; look < 3; look += 1) {
      expect(await readFile(join(tree.root, 'file'), 'utf8')).toContain(word)
    }
    await store.leases.remove(volume)
  }
  const publisher = async (number: number) => {
    running += 1
    try {
      for (let turn = 0; turn < 40; turn += 1) {
        const word = MANY_WORDS[(turn * 7 + number) % MANY_WORDS.length] ?? 'a'
        await publish(`volume-${number}`, word)
      }
    } finally {
      running -= 1
    }
  }
  const evictAll = async () => {
    while (running > 0) {
      for (const word of MANY_WORDS) if (await store.trees.evict(keyOf(word))) evicted += 1
      await evictor.check()
      // Where everything is held, nothing above waits for anything.
      await setImmediate()
    }
  }
  const publishing = Promise.all(Array.from({ length: 8 }, (_, number) => publisher(number)))
  await evictAll()
  await publishing
  // Both have happened, or the test shows nothing.
  expect(evicted).toBeGreaterThan(0)
  expect(rebuilt).toBeGreaterThan(MANY_WORDS.length)
  expect((await store.leases.list()).leases).toEqual([])
})

type Action =
  | { readonly do: 'make'; readonly word: string }
  | { readonly do: 'publish' | 'unpublish'; readonly volume: string; readonly word: string }
  | { readonly do: 'work' | 'evict' | 'restart'; readonly word: string }
  | { readonly do: 'check'; readonly maxBytes: number }

const word = fc.constantFrom(...WORDS)
const volume = fc.constantFrom('v1', 'v2', 'v3')
const actions: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ do: fc.constant('make' as const), word }),
  fc.record({ do: fc.constantFrom('publish' as const, 'unpublish' as const), volume, word }),
  fc.record({ do: fc.constantFrom('work' as const, 'evict' as const), word }),
  { arbitrary: fc.record({ do: fc.constant('restart' as const), word }), weight: 1 },
  {
    arbitrary: fc.record({ do: fc.constant('check' as const), maxBytes: fc.nat({ max: 60 }) }),
    weight: 3,
  },
)

/** Long ones: short ones rarely hold and evict the same. */
const SEQUENCES = fc.array(actions, { minLength: 10, maxLength: 30, size: 'max' })

test('whatever happens in whatever order: nothing that a lease or work holds is evicted, and what is there is whole', async () => {
  await fc.assert(
    fc.asyncProperty(SEQUENCES, async (sequence) => {
      await using directory = await temporaryDirectory()
      let store = await openTestStore(directory.path)
      const leased = new Map<string, string>()
      const worked = new Map<string, Disposable>()
      const there = new Set<string>()
      try {
        for (const action of sequence) {
          store = await act(action, { store, leased, worked, there })
          await expectHeld(store, { leased, worked, there })
        }
      } finally {
        await store[Symbol.asyncDispose]()
      }
    }),
    { numRuns: 60 },
  )
})

interface Model {
  /** What each volume shows. */
  readonly leased: Map<string, string>
  readonly worked: Map<string, Disposable>
  /** What must be there if it is held: it was made, and has been held since. */
  readonly there: Set<string>
}

async function act(action: Action, state: Model & { readonly store: Store }): Promise<Store> {
  const { store, leased, worked, there } = state
  switch (action.do) {
    case 'make':
      await addTree(store, action.word)
      there.add(action.word)
      return store
    case 'publish':
      leased.set(action.volume, action.word)
      await store.leases.put(lease(action.volume, [keyOf(action.word)]))
      await addTree(store, action.word)
      there.add(action.word)
      return store
    case 'unpublish':
      leased.delete(action.volume)
      await store.leases.remove(action.volume)
      return store
    case 'work': {
      const running = worked.get(action.word)
      running?.[Symbol.dispose]()
      if (running === undefined) worked.set(action.word, store.holds.hold([keyOf(action.word)]))
      else worked.delete(action.word)
      if ((await wordOf(store, keyOf(action.word))) === undefined) there.delete(action.word)
      return store
    }
    case 'evict':
      await store.trees.evict(keyOf(action.word))
      return store
    case 'check': {
      await using evictor = testEvictor(store, { maxBytes: action.maxBytes })
      await evictor.check()
      return store
    }
    case 'restart': {
      worked.clear()
      await store[Symbol.asyncDispose]()
      const again = await openTestStore(store.directory)
      // As the driver does before it does anything else.
      await again.leases.list()
      return again
    }
  }
}

async function expectHeld(store: Store, { leased, worked, there }: Model): Promise<void> {
  const held = new Set([...leased.values(), ...worked.keys()])
  for (const name of WORDS) {
    const found = await wordOf(store, keyOf(name))
    if (found !== undefined) expect(found).toBe(name)
    if (held.has(name) && there.has(name)) expect(found).toBe(name)
    if (found === undefined) there.delete(name)
  }
}
