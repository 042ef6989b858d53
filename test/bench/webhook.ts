import { writeFile } from 'node:fs/promises'
import { createCertificateAuthority } from '../support/certificates.ts'
import { type ChildProcess, startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { cpuMs, memoryMb, percentile, timed } from './measure.ts'
import type { Row } from './row.ts'
import type { LoadResult, LoadSettings } from './webhook-load.ts'

const REVIEWS_A_SECOND = 200
const REVIEWS = 2_000
const WARM_UP = 1_000
/** Of each process that asks. */
const CLIENT_WARM_UP = 200
const CONNECTIONS = 4
const STARTS = 5
/** More than it can do: what a review costs when the caches of the machine are warm. */
const AS_MANY_AS_CAN_BE = 100_000

const TABLE = 'Webhook'

/** Reviews over TLS at a steady rate, as a busy API server sends them; starting; memory. */
export const WEBHOOK: Benchmark = {
  words: ['webhook', 'start', 'memory'],
  table: TABLE,
  what: 'webhook',
  measure: measureWebhook,
}

async function measureWebhook({ env, rounds }: BenchmarkContext): Promise<Row[]> {
  await using directory = await temporaryDirectory()
  const authority = await createCertificateAuthority()
  const pair = await authority.issue({ names: ['127.0.0.1'] })
  await writeFile(directory.file('tls.crt'), pair.cert)
  await writeFile(directory.file('tls.key'), pair.key)
  const start = async () => {
    const process = startProcess({
      env,
      args: [
        'webhook/main.ts',
        ...['--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0'],
        ...['--certificate-directory', directory.path],
      ],
    })
    const { json } = await process.waitForLine(withMessage('serving'))
    return { process, port: Number(json?.['port']) }
  }
  const starts: number[] = []
  for (let count = 0; count < STARTS; count += 1) {
    let started: Awaited<ReturnType<typeof start>> | undefined
    starts.push(
      await timed(async () => {
        started = await start()
      }),
    )
    await started?.process[Symbol.asyncDispose]()
  }

  const { process, port } = await start()
  await using _ = process
  const idle = await memoryMb(process.pid)
  const load = (reviewsASecond: number, count: number) =>
    measureLoad(process, {
      ...{ port, ca: authority.cert, connections: CONNECTIONS },
      ...{ reviewsASecond, count, warmUp: CLIENT_WARM_UP },
    })
  await load(AS_MANY_AS_CAN_BE, WARM_UP)
  const steady: Load[] = []
  const full: Load[] = []
  for (let round = 0; round < rounds; round += 1) {
    steady.push(await load(REVIEWS_A_SECOND, REVIEWS))
    full.push(await load(AS_MANY_AS_CAN_BE, REVIEWS))
  }
  const { now } = await memoryMb(process.pid)
  const cpu = (loads: readonly Load[]) => {
    const samples = loads.map(({ cpuMsEach }) => cpuMsEach)
    return { value: percentile(samples, 0.5), samples }
  }
  const took = steady.flatMap(({ tookMs }) => tookMs)
  return [
    {
      table: TABLE,
      what: `mutate, 10 KiB pod, 3 entries, over TLS, ${REVIEWS_A_SECOND}/s`,
      figures: [
        { name: 'p50 ms', value: percentile(took, 0.5) },
        { name: 'p99 ms', value: percentile(took, 0.99), atMost: 5 },
        { name: 'CPU ms each', ...cpu(steady), atMost: 0.5 },
      ],
    },
    {
      table: TABLE,
      what: 'the same, as many as it can',
      figures: [{ name: 'CPU ms each', ...cpu(full) }],
    },
    {
      table: TABLE,
      what: 'webhook, start to serving',
      figures: [{ name: 'median ms', value: percentile(starts, 0.5), atMost: 700 }],
    },
    {
      table: TABLE,
      what: 'webhook, resident memory',
      figures: [
        { name: 'idle MB', value: idle.now },
        { name: 'MB under load', value: now },
      ],
    },
  ]
}

interface Load {
  readonly tookMs: readonly number[]
  /** Of the webhook alone. */
  readonly cpuMsEach: number
}

async function measureLoad({ pid }: ChildProcess, settings: LoadSettings): Promise<Load> {
  await using client = startProcess({
    args: ['test/bench/webhook-load.ts', JSON.stringify(settings)],
  })
  const before = await cpuMs(pid)
  const { text } = await client.waitForLine(({ stream }) => stream === 'stdout', TIMEOUT_MS)
  const { tookMs, failures }: LoadResult = JSON.parse(text)
  if (failures.length > 0) throw new Error(`${failures.length} reviews failed: ${failures[0]}`)
  const asked = settings.warmUp + settings.count
  return { tookMs, cpuMsEach: ((await cpuMs(pid)) - before) / asked }
}

// A load at the steady rate takes ten seconds.
const TIMEOUT_MS = 120_000
