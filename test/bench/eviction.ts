import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { type Item, planEviction } from '../../driver/store/eviction/plan-eviction.ts'
import { readBootId } from '../../driver/store/store.ts'
import { startNode, type TestDriver } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { percentile, timed } from './measure.ts'
import type { Row } from './row.ts'

const TABLE = 'Eviction'
const FEW = 1_000
const MANY = 10_000
const ROUNDS = 101
const LEASES = 5_000
const STARTS = 3

/** Deciding what to evict, and starting where many volumes are mounted or were. */
export const EVICTION: Benchmark = {
  words: ['eviction', 'leases'],
  table: TABLE,
  what: 'eviction',
  measure: async (context) => [planning(), await starting(context)],
}

function planning(): Row {
  // Ten stores, each in its turn: no decision finds in the processor's caches what the one before has left, and all ten take about as
  // long as the one, so that other processes interrupt either as often.
  const few = Array.from({ length: MANY / FEW }, () => largeStore(FEW))
  const many = largeStore(MANY)
  const samples = Array.from({ length: ROUNDS }, () => ({
    few: elapsed(() => few.map(planEviction)) / few.length,
    many: elapsed(() => planEviction(many)),
  }))
  const median = (of: 'few' | 'many') =>
    percentile(
      samples.map((sample) => sample[of]),
      0.5,
    )
  return {
    table: TABLE,
    what: `decision over ${FEW} and over ${MANY} trees`,
    figures: [
      { name: `${FEW} median ms`, value: median('few') },
      { name: `${MANY} median ms`, value: median('many') },
      { name: 'ratio', value: median('many') / median('few'), atMost: 12 },
    ],
  }
}

/** A store at its high mark, of trees with a blob each, every other one of which is the tree's file; a tenth is in use. */
function largeStore(trees: number): Parameters<typeof planEviction>[0] {
  const items: Item[] = []
  for (let index = 0; index < trees; index += 1) {
    const [key, digest] = [hash(`tree ${index}`), `sha256:${hash(`blob ${index}`)}`]
    const usedMs = (index * 7_919) % trees
    const own = { inodes: 10, uses: [digest] }
    items.push({ kind: 'tree', key, usedMs, bytes: 1_000, ...own })
    const blob = { bytes: 1_000, inodes: 2, uses: [], isLinked: index % 2 === 0 }
    items.push({ kind: 'blob', key: digest, usedMs, ...blob })
  }
  const totalBytes = trees * 2_000
  const held = items.filter((_, index) => index % 20 === 0).map(({ key }) => key)
  return {
    ...{ now: Date.now(), items, held: new Set(held) },
    marks: { high: 0.8, low: 0.75, keepBytes: 0, minAgeMs: 300_000 },
    space: { bytes: totalBytes * 0.19, totalBytes, inodes: 1e6, totalInodes: 2e6 },
  }
}

async function starting({ env }: BenchmarkContext): Promise<Row> {
  const why = await whyNoMounts()
  if (why !== undefined) throw new Error(`Cannot start a driver: ${why}`)
  await using node = await startNode()
  const bootId = await readBootId()
  const directory = `${node.storeDirectory}/volumes`
  await mkdir(directory, { recursive: true, mode: 0o700 })
  for (let index = 0; index < LEASES; index += 1) {
    // Of publishes under way when the driver was killed: those are kept.
    const lease = {
      volumeId: `csi-${hash(String(index))}`,
      target: `${node.kubeletDir}/pods/uid-${index}/volumes/kubernetes.io~csi/app/mount`,
      pod: { namespace: 'default', name: `pod-${index}`, uid: `uid-${index}` },
      requestHash: hash(`request ${index}`),
      sources: [{ reference: 'ghcr.io/acme/app:v1' }],
      trees: [hash(`tree ${index % 100}`)],
      views: [],
      mounted: false,
      bootId,
    }
    await writeFile(`${directory}/${lease.volumeId}.json`, JSON.stringify(lease))
  }
  const starts: number[] = []
  for (let start = 0; start < STARTS; start += 1) {
    let driver: TestDriver | undefined
    starts.push(
      await timed(async () => {
        driver = await node.startDriver({ env })
      }),
    )
    await driver?.[Symbol.asyncDispose]()
  }
  return {
    table: TABLE,
    what: `start with ${LEASES} leases, to registered`,
    figures: [{ name: 'max ms', value: Math.max(...starts), atMost: 3_000 }],
  }
}

function elapsed(work: () => unknown): number {
  const started = performance.now()
  work()
  return performance.now() - started
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
