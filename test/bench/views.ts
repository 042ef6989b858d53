import { gzipSync } from 'node:zlib'
import { artifact, push } from '../support/artifact.ts'
import { run } from '../support/command.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { type PublishRequest, publishRequest } from '../support/kubelet.ts'
import { readMounts, whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { tarOf } from '../support/tar.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { median, timed } from './measure.ts'
import type { Row } from './row.ts'

const TABLE = 'Views'
const FILES = 20_000
const SOURCES = [2, 8, 32] as const
const FILES_IN_DIRECTORY = 100

/** Volumes of several artifacts, whose trees the node has: the first view of them, and the same again. */
export const VIEWS: Benchmark = {
  words: ['views'],
  table: TABLE,
  what: 'views',
  measure: async (context) => {
    const why = await whyNoMounts()
    if (why !== undefined) throw new Error(`Cannot publish volumes: ${why}`)
    const rows: Row[] = []
    for (const count of SOURCES) rows.push(await measureViews(count, context))
    return rows
  },
}

async function measureViews(
  count: number,
  { env, rounds, ground }: BenchmarkContext,
): Promise<Row> {
  await using registry = await startRegistry()
  const names = Array.from({ length: count }, (_, index) => `bench/part-${index}:1`)
  for (const [index, name] of names.entries()) await push(registry.url, name, part(index, count))
  await using node = await startNode(registry)
  await using driver = await node.startDriver({ env })
  const whole = (prefix: string) =>
    JSON.stringify(
      names.map((name, index) => ({
        reference: `${registry.host}/${name}`,
        path: `${prefix}/${index}`,
      })),
    )
  const volume = (pod: string, prefix: string) =>
    publishRequest({
      kubeletDir: node.kubeletDir,
      pod: { name: pod, namespace: 'default', uid: `uid-${pod}` },
      volumeName: 'app',
      attributes: { 'oras.sources': whole(prefix) },
      readOnly: true,
    })

  // The trees, and a view that warms up what makes one.
  const warm = await volume('warm', 'warm')
  await driver.csi.nodePublishVolume(warm)
  await driver.csi.nodeUnpublishVolume(warm)
  const trees = await run('sh', ['-c', `ls -d "${node.storeDirectory}"/trees/*/root`])
  const roots = trees.trim().split('\n')

  const first: number[] = []
  const linked: number[] = []
  const cached: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const prefix = `round-${round}`
    await ground.settle()
    first.push(await publishOnce(driver, await volume(`first-${round}`, prefix), 1))
    cached.push(await publishOnce(driver, await volume(`cached-${round}`, prefix), 1))
    await ground.settle()
    linked.push(await linkAll(node, roots, round))
  }
  const ratios = first.map((ms, index) => ms / (linked[index] ?? Number.NaN))
  return {
    table: TABLE,
    what: `${count} sources, ${FILES} files`,
    figures: [
      { name: 'first ms', value: median(first), samples: first },
      { name: 'cp -al ms', value: median(linked), samples: linked },
      { name: 'x of cp -al', value: median(ratios), samples: ratios, atMost: 1.5 },
      { name: 'again ms', value: median(cached), samples: cached },
    ],
  }
}

/** One of so many artifacts that have all files together. */
function part(index: number, count: number) {
  const files = Array.from({ length: FILES / count }, (_, at) => ({
    path: `d${Math.floor(at / FILES_IN_DIRECTORY)}/f${at}`,
    content: `${index} ${at}\n`,
  }))
  return artifact({
    layers: [
      {
        content: gzipSync(tarOf(files), { level: 1 }),
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      },
    ],
  })
}

/** Publishes a volume, makes sure that it is so many mounts, and ends it. Answers how many milliseconds the publish took. */
async function publishOnce(
  { csi }: TestDriver,
  request: PublishRequest,
  mounts: number,
): Promise<number> {
  const ms = await timed(() => csi.nodePublishVolume(request))
  const shown = (await readMounts()).filter(({ mountPoint }) => mountPoint === request.target_path)
  if (shown.length !== mounts) throw new Error(`Mounted ${shown.length} times, not ${mounts}`)
  await csi.nodeUnpublishVolume(request)
  return ms
}

/** What takes the place of a view where there is none: hard links to all files of all trees, by a program of the system. */
async function linkAll(node: TestNode, roots: readonly string[], round: number): Promise<number> {
  const target = `${node.storeDirectory}/staging/bench-${round}`
  const commands = roots.map((root, index) => `cp -al "${root}" "${target}/${index}"`)
  return timed(() => run('sh', ['-ec', [`mkdir "${target}"`, ...commands].join('\n')]))
}
