import { writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { controllerMadePod, podReview } from '../support/admission-review.ts'
import { openApiServer } from '../support/api-server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { cpuMs, memoryMb, percentile, timed } from './measure.ts'
import type { Row } from './row.ts'

const REVIEWS_A_SECOND = 200
const SECONDS = 10
const WARM_UP = 400
const POD_BYTES = 10 * 1024
const STARTS = 5

const TABLE = 'Webhook'

/** Reviews over TLS at a steady rate, as a busy API server sends them; starting; memory. */
export const WEBHOOK: Benchmark = {
  words: ['webhook', 'start', 'memory'],
  table: TABLE,
  what: 'webhook',
  measure: measureWebhook,
}

async function measureWebhook({ env }: BenchmarkContext): Promise<Row[]> {
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
    return { process, port: json?.['port'] }
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
  await using api = openApiServer({
    url: `https://127.0.0.1:${port}`,
    ca: authority.cert,
    connections: 4,
  })
  const review = podReview(busyPod())
  for (let count = 0; count < WARM_UP; count += 1) await api.review('/mutate', review)

  const before = await cpuMs(process.pid)
  const calls: Promise<number>[] = []
  for (let count = 0; count < REVIEWS_A_SECOND * SECONDS; count += 1) {
    calls.push(timed(() => api.review('/mutate', review)))
    await delay(1_000 / REVIEWS_A_SECOND)
  }
  const took = await Promise.all(calls)
  const cpu = (await cpuMs(process.pid)) - before
  const { now } = await memoryMb(process.pid)
  return [
    {
      table: TABLE,
      what: 'mutate, 10 KiB pod, 3 entries, over TLS',
      figures: [
        { name: 'p50 ms', value: percentile(took, 0.5) },
        { name: 'p99 ms', value: percentile(took, 0.99), atMost: 5 },
        { name: 'CPU ms each', value: cpu / took.length, atMost: 0.5 },
      ],
    },
    {
      table: TABLE,
      what: 'webhook, start to serving',
      figures: [{ name: 'median ms', value: percentile(starts, 0.5), atMost: 700 }],
    },
    {
      table: TABLE,
      what: 'webhook, resident memory',
      figures: [{ name: 'MB under load', value: now }],
    },
  ]
}

function busyPod(): object {
  const filler = 'x'.repeat(POD_BYTES - 1_500)
  return controllerMadePod({
    annotations: {
      'oras.land/artifacts': [
        '/app: ghcr.io/acme/app:v1',
        '/models: ghcr.io/acme/models:v3',
        '/etc/ssl/acme: ghcr.io/acme/certs:v7',
      ].join('\n'),
      'example.com/filler': filler,
    },
    spec: {
      containers: [
        { name: 'app', image: 'debian:12', env: [{ name: 'A', value: 'b' }] },
        { name: 'istio-proxy', image: 'istio/proxyv2:1' },
      ],
    },
  })
}
