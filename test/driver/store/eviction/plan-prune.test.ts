import { expect, test } from 'vitest'
import type { Item } from '../../../../driver/store/eviction/plan-eviction.ts'
import { planPrune } from '../../../../driver/store/eviction/plan-prune.ts'

function item(kind: Item['kind'], key: string, rest: Partial<Item> = {}): Item {
  return { kind, key, usedMs: 10, bytes: 1, inodes: 1, uses: [], ...rest }
}

const APP = [
  item('blob', 'layer', { isLinked: true }),
  item('blob', 'archive', { isLinked: false }),
  item('tree', 'app', { uses: ['layer', 'archive'] }),
  item('view', 'www', { uses: ['app'] }),
]

test.for<[string, readonly Item[], readonly string[], readonly string[]]>([
  [
    'everything, a view before its trees and these before their blobs',
    APP,
    [],
    ['www', 'app', 'layer', 'archive'],
  ],
  ['a view without its trees, which a volume needs', APP, ['app'], ['www', 'archive']],
  ['no tree that a view which is needed shares its files with', APP, ['www'], ['archive']],
  [
    'not what was used since',
    [...APP, item('tree', 'new', { usedMs: 20 }), item('ingest', 'part')],
    [],
    ['www', 'app', 'layer', 'archive', 'part'],
  ],
  [
    'no blob that is a file of a tree which stays, were it that of another, too',
    [...APP, item('tree', 'other', { uses: ['layer'] })],
    ['other'],
    ['www', 'app', 'archive'],
  ],
  [
    'a blob that is a file of something in the trash',
    [item('blob', 'left', { isLinked: true })],
    [],
    ['left'],
  ],
  ['no download that runs', [item('ingest', 'part')], ['part'], []],
])('removes %s', ([, items, held, expected]) => {
  const pruned = planPrune({ items, held: new Set(held), usedBefore: 20 })
  expect(pruned.map(({ key }) => key)).toEqual(expected)
})
