import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Marks } from '../../../../driver/store/eviction/goals.ts'
import { type Item, planEviction } from '../../../../driver/store/eviction/plan-eviction.ts'

const NOW = 1_000_000_000
const MINUTE = 60_000
const MARKS: Marks = { high: 0.8, low: 0.75, keepBytes: 0, minAgeMs: 5 * MINUTE }
const NONE: ReadonlySet<string> = new Set()

/** A file system of 1,000 bytes and as many inodes. */
function space(usedBytes: number, usedInodes = 0) {
  return {
    bytes: 1_000 - usedBytes,
    totalBytes: 1_000,
    inodes: 1_000 - usedInodes,
    totalInodes: 1_000,
  }
}

function tree(key: string, minutesAgo: number, bytes: number, rest: Partial<Item> = {}): Item {
  return {
    kind: 'tree',
    key,
    usedMs: NOW - minutesAgo * MINUTE,
    bytes,
    inodes: 1,
    uses: [],
    ...rest,
  }
}

function keys(plan: ReturnType<typeof planEviction>): readonly string[] {
  return plan.evict.map(({ item, goal }) => `${item.key} for ${goal}`)
}

describe('what goes', () => {
  test.for<[string, Parameters<typeof planEviction>[0], readonly string[], readonly string[]]>([
    [
      'nothing below the high mark, even above the low one',
      {
        ...{ now: NOW, space: space(790), held: NONE, marks: MARKS },
        items: [tree('a', 60, 790)],
      },
      [],
      [],
    ],
    [
      'the least recently used, until below the low mark',
      {
        ...{ now: NOW, space: space(850), held: NONE, marks: MARKS },
        items: [tree('new', 10, 60), tree('old', 60, 60), tree('middle', 30, 60)],
      },
      ['old for bytes', 'middle for bytes'],
      [],
    ],
    [
      'not what is held, nor what was used within the last five minutes, and the mark is out of reach',
      {
        ...{ now: NOW, space: space(900), held: new Set(['held']), marks: MARKS },
        items: [tree('held', 60, 400), tree('young', 4, 400)],
      },
      [],
      ['bytes'],
    ],
    [
      'not so much that less than keepBytes stays',
      {
        ...{ now: NOW, space: space(900), held: NONE, marks: { ...MARKS, keepBytes: 100 } },
        items: [tree('a', 60, 60), tree('b', 50, 60), tree('c', 40, 60)],
      },
      ['a for bytes'],
      ['bytes'],
    ],
    [
      'for inodes, too: what has none of its own stays',
      {
        ...{ now: NOW, space: space(0, 810), held: NONE, marks: MARKS },
        items: [
          tree('none', 60, 1, { inodes: 0 }),
          tree('a', 50, 1, { inodes: 50 }),
          tree('b', 40, 1, { inodes: 50 }),
        ],
      },
      ['a for inodes', 'b for inodes'],
      [],
    ],
    [
      'nothing for inodes where the file system makes them as they are needed',
      {
        now: NOW,
        space: { ...space(0), inodes: Infinity, totalInodes: Infinity },
        ...{ held: NONE, marks: MARKS, items: [tree('a', 60, 1)] },
      },
      [],
      [],
    ],
    [
      'down to what the store may have, whatever is free, and whatever keepBytes says',
      {
        ...{ now: NOW, space: space(0), held: NONE },
        marks: { ...MARKS, maxBytes: 100, keepBytes: 1_000 },
        items: [tree('a', 60, 60), tree('b', 50, 60), tree('c', 40, 60)],
      },
      ['a for max-store-bytes', 'b for max-store-bytes'],
      [],
    ],
    [
      'for a pull that waits, whatever keepBytes says',
      {
        ...{ now: NOW, space: space(700), held: NONE, marks: { ...MARKS, keepBytes: 1_000 } },
        room: { free: { bytes: 350, inodes: 0 }, added: 350 },
        items: [tree('a', 60, 60), tree('b', 50, 60)],
      },
      ['a for room'],
      [],
    ],
    [
      'what a pull adds counts for what the store may have',
      {
        ...{ now: NOW, space: space(0), held: NONE, marks: { ...MARKS, maxBytes: 100 } },
        room: { free: { bytes: 50, inodes: 0 }, added: 50 },
        items: [tree('a', 60, 60)],
      },
      ['a for max-store-bytes'],
      [],
    ],
    [
      'all there is when that is not enough for a pull, which is said',
      {
        ...{ now: NOW, space: space(700), held: NONE, marks: MARKS },
        room: { free: { bytes: 500, inodes: 0 }, added: 500 },
        items: [tree('a', 60, 60)],
      },
      ['a for room'],
      ['room'],
    ],
    [
      'blobs that were unpacked and downloads that were given up before any tree, the oldest first',
      {
        ...{ now: NOW, space: space(900), held: NONE, marks: MARKS },
        items: [
          tree('tree', 60, 100, { uses: ['archive'] }),
          tree('archive', 20, 60, { kind: 'blob' }),
          tree('part', 30, 60, { kind: 'ingest' }),
          tree('other', 10, 60, { kind: 'blob' }),
        ],
      },
      ['part for bytes', 'archive for bytes', 'other for bytes'],
      [],
    ],
    [
      'a blob that is a file of trees with the last of them',
      {
        ...{ now: NOW, space: space(900), held: NONE, marks: MARKS },
        items: [
          tree('file', 10, 100, { kind: 'blob', isLinked: true }),
          tree('a', 60, 5, { uses: ['file'] }),
          tree('b', 50, 60, { uses: ['file', 'file'] }),
        ],
      },
      ['a for bytes', 'b for bytes', 'file for bytes'],
      [],
    ],
    [
      'trees that have nothing but a blob together',
      {
        ...{ now: NOW, space: space(900), held: NONE, marks: MARKS },
        items: [
          tree('file', 60, 500, { kind: 'blob', isLinked: true }),
          tree('a', 60, 0, { uses: ['file'] }),
          tree('b', 50, 0, { uses: ['file'] }),
        ],
      },
      ['a for bytes', 'b for bytes', 'file for bytes'],
      [],
    ],
    [
      'not a blob that a tree which stays has as a file',
      {
        ...{ now: NOW, space: space(900), held: new Set(['b']), marks: MARKS },
        items: [
          tree('file', 60, 500, { kind: 'blob', isLinked: true }),
          tree('a', 60, 10, { uses: ['file'] }),
          tree('b', 50, 10, { uses: ['file'] }),
        ],
      },
      ['a for bytes'],
      ['bytes'],
    ],
    [
      'a view with its tree, which is as young as the view',
      {
        ...{ now: NOW, space: space(810), held: NONE, marks: MARKS },
        items: [
          tree('viewed', 60, 80, {}),
          tree('view', 10, 0, { kind: 'view', uses: ['viewed'] }),
          tree('plain', 30, 80, {}),
        ],
      },
      ['plain for bytes'],
      [],
    ],
    [
      'the view first where both were used last by one volume',
      {
        ...{ now: NOW, space: space(810), held: NONE, marks: MARKS },
        items: [
          tree('viewed', 60, 80, {}),
          tree('view', 60, 0, { kind: 'view', uses: ['viewed'] }),
        ],
      },
      ['view for bytes', 'viewed for bytes'],
      [],
    ],
    [
      'no tree of a view that is held: its files would stay',
      {
        ...{ now: NOW, space: space(900), held: new Set(['view']), marks: MARKS },
        items: [
          tree('viewed', 60, 500, {}),
          tree('view', 60, 0, { kind: 'view', uses: ['viewed'] }),
        ],
      },
      [],
      ['bytes'],
    ],
  ])('%s', ([, options, evicted, unreachable]) => {
    const plan = planEviction(options)
    expect(keys(plan)).toEqual(evicted)
    expect(plan.unreachable).toEqual(unreachable)
  })
})

/** A store of trees, some of which share blobs or are shown by views, and what is held of it. */
const stores = fc
  .record({
    trees: fc.array(
      fc.record({
        minutesAgo: fc.integer({ min: 0, max: 30 }),
        bytes: fc.integer({ min: 0, max: 200 }),
        inodes: fc.integer({ min: 1, max: 50 }),
        blobs: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }),
        isHeld: fc.boolean(),
      }),
      { maxLength: 12 },
    ),
    blobs: fc.array(
      fc.record({
        minutesAgo: fc.integer({ min: 0, max: 30 }),
        bytes: fc.integer({ min: 1, max: 200 }),
        isLinked: fc.boolean(),
        isHeld: fc.boolean(),
      }),
      { minLength: 6, maxLength: 6 },
    ),
    views: fc.array(
      fc.record({
        minutesAgo: fc.integer({ min: 0, max: 30 }),
        inodes: fc.integer({ min: 1, max: 50 }),
        trees: fc.array(fc.integer({ min: 0, max: 11 }), { maxLength: 3 }),
        isHeld: fc.boolean(),
      }),
      { maxLength: 4 },
    ),
    usedBytes: fc.integer({ min: 0, max: 1_000 }),
    usedInodes: fc.integer({ min: 0, max: 1_000 }),
    maxBytes: fc.option(fc.integer({ min: 0, max: 1_000 }), { nil: undefined }),
    keepBytes: fc.integer({ min: 0, max: 500 }),
    roomBytes: fc.option(fc.integer({ min: 0, max: 1_000 }), { nil: undefined }),
  })
  .map(({ trees, blobs, views, ...rest }) => {
    const items: Item[] = [
      ...trees.map(({ minutesAgo, bytes, inodes, blobs: used }, index) =>
        tree(`t${index}`, minutesAgo, bytes, { inodes, uses: used.map((at) => `b${at}`) }),
      ),
      ...blobs.map(({ minutesAgo, bytes, isLinked }, index) =>
        tree(`b${index}`, minutesAgo, bytes, { kind: 'blob', inodes: 2, isLinked }),
      ),
      ...views.map(({ minutesAgo, inodes, trees: used }, index) =>
        tree(`v${index}`, minutesAgo, 0, {
          kind: 'view',
          inodes,
          uses: used.filter((at) => at < trees.length).map((at) => `t${at}`),
        }),
      ),
    ]
    const held = new Set([
      ...trees.flatMap(({ isHeld }, index) => (isHeld ? [`t${index}`] : [])),
      ...blobs.flatMap(({ isHeld }, index) => (isHeld ? [`b${index}`] : [])),
      ...views.flatMap(({ isHeld }, index) => (isHeld ? [`v${index}`] : [])),
    ])
    const marks: Marks = {
      ...{ high: 0.8, low: 0.6, minAgeMs: 5 * MINUTE, keepBytes: rest.keepBytes },
      ...(rest.maxBytes !== undefined && { maxBytes: rest.maxBytes }),
    }
    const bytes = rest.roomBytes
    return {
      ...{ now: NOW, items, held, marks, space: space(rest.usedBytes, rest.usedInodes) },
      ...(bytes !== undefined && { room: { free: { bytes, inodes: 0 }, added: bytes } }),
    }
  })

const total = (items: readonly Item[], what: 'bytes' | 'inodes') =>
  items.reduce((sum, item) => sum + item[what], 0)

describe('whatever the store and the marks are', () => {
  const RUNS = { numRuns: 2_000 }

  test('nothing that is held goes, nothing young, nothing twice', () => {
    fc.assert(
      fc.property(stores, (store) => {
        const evicted = planEviction(store).evict.map(({ item }) => item)
        expect(new Set(evicted.map(({ key }) => key)).size).toBe(evicted.length)
        for (const { key, usedMs } of evicted) {
          expect(store.held.has(key)).toBe(false)
          expect(usedMs).toBeLessThanOrEqual(NOW - 5 * MINUTE)
        }
      }),
      RUNS,
    )
  })

  test('no view loses a tree, and no tree the blob that is its file', () => {
    fc.assert(
      fc.property(stores, (store) => {
        const gone = new Set(planEviction(store).evict.map(({ item }) => item.key))
        for (const { kind, key, uses } of store.items) {
          if (gone.has(key)) continue
          if (kind === 'view') for (const used of uses) expect(gone.has(used)).toBe(false)
          if (kind !== 'tree') continue
          for (const blob of store.items) {
            if (blob.isLinked && uses.includes(blob.key)) expect(gone.has(blob.key)).toBe(false)
          }
        }
      }),
      RUNS,
    )
  })

  test('what stays of the same kind is younger than what goes, or would not have helped', () => {
    fc.assert(
      fc.property(stores, (store) => {
        const gone = new Set(planEviction(store).evict.map(({ item }) => item.key))
        // Without shares, so that each tree stands for itself; those with bytes and inodes help with every goal.
        const alone = store.items.filter(
          ({ kind, key, bytes, uses }) =>
            kind === 'tree' &&
            bytes > 0 &&
            uses.length === 0 &&
            !store.held.has(key) &&
            !store.items.some((view) => view.kind === 'view' && view.uses.includes(key)),
        )
        for (const stayed of alone.filter(({ key }) => !gone.has(key))) {
          for (const went of alone.filter(({ key }) => gone.has(key))) {
            expect(went.usedMs).toBeLessThanOrEqual(stayed.usedMs)
          }
        }
      }),
      RUNS,
    )
  })

  test('it stops as soon as everything is reached: without the last one something would be missing', () => {
    fc.assert(
      fc.property(stores, (store) => {
        const { evict } = planEviction(store)
        const last = evict.at(-1)
        if (last === undefined) return
        // The last group: a tree goes with its views and blobs.
        const first = evict.findLastIndex(({ item }) => item.kind !== 'blob' || !item.isLinked)
        const before = evict
          .slice(0, evict[first]?.item.kind === 'tree' ? viewsBefore(evict, first) : first)
          .map(({ item }) => item)
        const bytes = total(before, 'bytes')
        const inodes = total(before, 'inodes')
        const used = 1_000 - store.space.bytes
        const usedInodes = 1_000 - store.space.inodes
        const stored = total(store.items, 'bytes')
        const missing =
          (used > 800 && used - bytes > 600) ||
          (usedInodes > 800 && usedInodes - inodes > 600) ||
          stored + (store.room?.added ?? 0) - bytes > (store.marks.maxBytes ?? Infinity) ||
          store.space.bytes + bytes < (store.room?.free.bytes ?? 0)
        expect(missing).toBe(true)
      }),
      RUNS,
    )
  })

  test('for the marks alone, what keepBytes says stays', () => {
    fc.assert(
      fc.property(stores, ({ room: _, marks: { maxBytes: __, ...marks }, ...store }) => {
        const evicted = planEviction({ ...store, marks }).evict.map(({ item }) => item)
        const stored = total(store.items, 'bytes')
        if (evicted.length === 0) return
        expect(stored - total(evicted, 'bytes')).toBeGreaterThanOrEqual(marks.keepBytes)
      }),
      RUNS,
    )
  })

  test('what is not called unreachable is reached', () => {
    fc.assert(
      fc.property(stores, (store) => {
        const { evict, unreachable } = planEviction(store)
        const bytes = total(
          evict.map(({ item }) => item),
          'bytes',
        )
        const stored = total(store.items, 'bytes') + (store.room?.added ?? 0) - bytes
        expect({
          bytes: 1_000 - store.space.bytes - bytes > 800,
          max: stored > (store.marks.maxBytes ?? Infinity),
          room: store.space.bytes + bytes < (store.room?.free.bytes ?? 0),
        }).toEqual({
          bytes: unreachable.includes('bytes'),
          max: unreachable.includes('max-store-bytes'),
          room: unreachable.includes('room'),
        })
      }),
      RUNS,
    )
  })
})

function viewsBefore(evict: readonly { readonly item: Item }[], at: number): number {
  const key = evict[at]?.item.key ?? ''
  let first = at
  for (; first > 0; first -= 1) {
    const item = evict[first - 1]?.item
    if (item?.kind !== 'view' || !item.uses.includes(key)) break
  }
  return first
}
