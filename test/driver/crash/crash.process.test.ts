import { readdir, stat } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { STAGES, type Stage } from '../../../driver/pull/stages.ts'
import { ingestPath } from '../../../driver/store/ingest-files.ts'
import { startNode, type TestNode } from '../../support/driver.ts'
import type { PublishRequest } from '../../support/kubelet.ts'
import { mountsAt, whyNoMounts } from '../../support/mounts.ts'
import { poll } from '../../support/poll.ts'
import { skipUnless } from '../../support/skip-unless.ts'
import { type CrashScenario, HITS, listingOf, startCrashScenario } from './crash-scenario.ts'
import { bytesKept, expectLeasesAsMounted, expectNothingHalf, leasesOf } from './crash-store.ts'
import { type StageLog, stageLog } from './stage-log.ts'

/**
 * How often the whole list of stages is gone through, a later hit of each stage every time. Once takes a minute; `ORAS_CSI_CRASH_ROUNDS=20`
 * is for a release, and for whoever changes what a pull does in which order.
 */
// biome-ignore lint/style/noProcessEnv: how long a test goes on is for whoever starts it to say
const ROUNDS = Number(process.env['ORAS_CSI_CRASH_ROUNDS'] ?? 1)
const CRASH_DEADLINE_MS = 60_000

const why = await whyNoMounts()

describe('a publish', () => {
  test('goes through the stages as often as is said here, in the threads that it should', async (context) => {
    skipUnless(context, why)
    await using scenario = await startCrashScenario()
    await using node = await startNode(scenario.registry)
    const request = await scenario.request(node)
    const log = stageLog(`${node.kubeletDir}/stages`)
    await using driver = await node.startDriver({ env: log.env })
    await following(scenario, log, driver.process.exited, () =>
      driver.csi.nodePublishVolume(request),
    )
    await driver.csi.nodeUnpublishVolume(request)

    expect(tally(await log.hits())).toEqual({
      ...withoutThreads('main'),
      'ingest-opened main': 3,
      'ingest-opened oras-csi download': 2,
      'bytes-written main': 3,
      'bytes-written oras-csi download': 2,
      'unpack-begun oras-csi tree': 1,
    })
  })

  test('after one that was interrupted takes up what there is, inline and in threads', async (context) => {
    skipUnless(context, why)
    await using scenario = await startCrashScenario()
    await using node = await startNode(scenario.registry)
    const request = await scenario.request(node)
    await interrupt(scenario, node, request)
    const kept = await bytesKept(node, scenario)
    scenario.registry.clearRequests()
    const log = stageLog(`${node.kubeletDir}/stages`)
    await using driver = await node.startDriver({ env: log.env })
    await driver.csi.nodePublishVolume(request)
    await driver.csi.nodeUnpublishVolume(request)

    for (const { digest, size } of scenario.resumable) {
      expect(kept.get(digest)).toBeGreaterThan(size / 4)
    }
    expectOnlyMissing(scenario, kept)

    const { 'ingest-resumed main': inline, 'ingest-resumed oras-csi download': threaded } = tally(
      await log.hits(),
    )
    expect([inline, threaded]).toEqual([1, 2])
    expect(HITS['ingest-resumed']).toBe(3)
  })
})

describe('SIGKILL', () => {
  test.for(STAGES)(
    'at "%s": nothing half is seen, and the next driver serves',
    { timeout: ROUNDS * CRASH_DEADLINE_MS },
    async (stage, context) => {
      skipUnless(context, why)
      await using scenario = await startCrashScenario()
      const killedAt: number[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const hit = 1 + (round % HITS[stage])
        await crashAndRecover(scenario, stage, hit)
        killedAt.push(hit)
      }
      await context.annotate(`${stage}: ${killedAt.length} kills, at hits ${killedAt.join(', ')}`)
    },
  )
})

async function crashAndRecover(scenario: CrashScenario, stage: Stage, hit: number): Promise<void> {
  const { registry } = scenario
  await using node = await startNode(registry)
  const request = await scenario.request(node)
  if (stage === 'ingest-resumed') await interrupt(scenario, node, request)

  // 1. Killed exactly there.
  const log = stageLog(`${node.kubeletDir}/stages`, { stage, hit })
  await using doomed = await node.startDriver({ env: log.env })
  const failure = await following(scenario, log, doomed.process.exited, () =>
    doomed.csi.nodePublishVolume(request).then(
      () => 'published',
      () => 'failed',
    ),
  )
  expect(failure).toBe('failed')
  expect(await doomed.process.exited).toEqual({ code: null, signal: 'SIGKILL' })
  const hits = (await log.hits()).filter((reached) => reached.stage === stage)
  // Another thread may have got there, too, before the signal did.
  expect(hits.length).toBeGreaterThanOrEqual(hit)

  // 2. What it left.
  await expectNothingHalf(node, scenario, request.target_path)
  const kept = await bytesKept(node, scenario)
  registry.clearRequests()

  // 3. The next one starts.
  await using driver = await node.startDriver()
  expect(await readdir(`${node.storeDirectory}/staging`)).toEqual([])
  await expectNothingHalf(node, scenario, request.target_path)
  await expectLeasesAsMounted(node)

  // 4. It serves, and downloads what is missing.
  await driver.csi.nodePublishVolume(request)
  expect(listingOf(request.target_path)).toEqual(scenario.view)
  expect((await mountsAt(request.target_path)).map(({ options }) => options[0])).toEqual(['ro'])
  await expectLeasesAsMounted(node)
  expect(await leasesOf(node)).toMatchObject([{ target: request.target_path, mounted: true }])
  expectOnlyMissing(scenario, kept)
  await expectCounts(node, { trees: 2, views: 1, ingest: 0, staging: 0, trash: 0 })

  // 5. And nothing stays of the volume.
  await driver.csi.nodeUnpublishVolume(request)
  expect(await mountsAt(request.target_path)).toEqual([])
  await expect(stat(request.target_path)).rejects.toMatchObject({ code: 'ENOENT' })
  await expectCounts(node, { volumes: 0, staging: 0 })
}

/** Kills a driver in the middle of each blob that can be taken up. */
async function interrupt(
  scenario: CrashScenario,
  node: TestNode,
  request: PublishRequest,
): Promise<void> {
  const { registry, resumable } = scenario
  using gates = new DisposableStack()
  for (const blob of resumable) {
    gates.use(registry.hold({ ...blob.request, afterBytes: Math.floor(blob.size / 2) }))
  }
  await using driver = await node.startDriver()
  const call = driver.csi.nodePublishVolume(request).catch(() => 'failed')
  for (const blob of resumable) {
    const path = ingestPath(
      `${node.storeDirectory}/ingest`,
      blob.digest,
      `${registry.host}/${blob.repository}`,
    )
    // What was sent may not all be written yet.
    await poll(async () => (await stat(path)).size > blob.size / 4, {
      deadlineMs: 20_000,
      what: `a quarter of blob ${blob.digest}`,
    })
  }
  driver.process.kill('SIGKILL')
  expect(await call).toBe('failed')
  await driver.process.exited
  await expectNothingHalf(node, scenario, request.target_path)
}

/** Makes sure that the archive is unpacked while it is downloaded: its second half comes when the unpacking has begun. */
async function following<T>(
  { registry, archive }: CrashScenario,
  log: StageLog,
  exited: Promise<unknown>,
  publish: () => Promise<T>,
): Promise<T> {
  using gate = registry.hold({ ...archive.request, afterBytes: Math.floor(archive.size / 2) })
  let isDead = false
  void exited.then(() => {
    isDead = true
  })
  const published = publish()
  await poll(
    async () => isDead || (await log.hits()).some(({ stage }) => stage === 'unpack-begun'),
    { deadlineMs: 20_000, what: 'the archive to be followed' },
  )
  gate.release()
  return published
}

/** What the registry was asked for since is what had not been kept. */
function expectOnlyMissing(
  { registry, blobs }: CrashScenario,
  kept: ReadonlyMap<string, number>,
): void {
  for (const { digest, size, request } of blobs) {
    const missing = size - (kept.get(digest) ?? 0)
    const sent = registry.requests
      .filter(({ path }) => path === request.path)
      .reduce((sum, { bytesSent }) => sum + bytesSent, 0)
    // A second connection that takes over the end of a first one's answer costs what was on its way there.
    const slack = missing === 0 ? 0 : size / 4
    expect(sent, `of blob ${digest}`).toBeGreaterThanOrEqual(missing)
    expect(sent, `of blob ${digest}`).toBeLessThanOrEqual(missing + slack)
  }
}

async function expectCounts(
  node: TestNode,
  wanted: Readonly<Record<string, number>>,
): Promise<void> {
  // Trash is emptied in the background.
  if ('trash' in wanted) {
    await poll(async () => (await readdir(`${node.storeDirectory}/trash`)).length === 0, {
      deadlineMs: 10_000,
      what: 'the trash to be empty',
    })
  }
  const found: Record<string, number> = {}
  for (const name of Object.keys(wanted)) {
    found[name] = (await readdir(`${node.storeDirectory}/${name}`)).length
  }
  expect(found).toEqual(wanted)
}

/** Counts by stage and thread. */
function tally(
  hits: readonly { readonly stage: string; readonly thread: string }[],
): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { stage, thread } of hits) {
    counts[`${stage} ${thread}`] = (counts[`${stage} ${thread}`] ?? 0) + 1
  }
  return counts
}

/** {@link HITS} of those stages that only one thread reaches, as {@link tally} counts them. */
function withoutThreads(thread: string): Record<string, number> {
  const elsewhere: readonly string[] = [
    'ingest-opened',
    'ingest-resumed',
    'bytes-written',
    'unpack-begun',
  ]
  return Object.fromEntries(
    Object.entries(HITS).flatMap(([stage, count]) =>
      elsewhere.includes(stage) ? [] : [[`${stage} ${thread}`, count]],
    ),
  )
}
