import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { openApiServer } from '../support/api-server.ts'
import { busyReview } from './busy-review.ts'

/** What the process is told, as JSON in its only argument. */
export interface LoadSettings {
  readonly port: number
  /** PEM of the authority. */
  readonly ca: string
  readonly connections: number
  readonly reviewsASecond: number
  readonly count: number
  /** So many before those, at the same rate, while this process opens its connections and compiles its own code: they are not told. */
  readonly warmUp: number
}

/** What it writes, as a line of JSON. */
export interface LoadResult {
  /** Of each review, from when it was due: a client that falls behind does not flatter the server. */
  readonly tookMs: readonly number[]
  /** Reviews that got no verdict. */
  readonly failures: readonly string[]
}

// A process of its own: what reviews cost the client is neither counted nor in the way of its clock.
const settings: LoadSettings = JSON.parse(process.argv[2] ?? '{}')
process.stdout.write(`${JSON.stringify(await load(settings))}\n`)

/** Asks for reviews at a steady rate over kept connections. */
async function load(options: LoadSettings): Promise<LoadResult> {
  await using api = openApiServer({
    url: `https://127.0.0.1:${options.port}`,
    ca: options.ca,
    connections: options.connections,
  })
  const review = busyReview()
  const tookMs: number[] = []
  const failures: string[] = []
  const start = performance.now()
  const ask = async (dueMs: number) => {
    try {
      await api.review('/mutate', review)
      tookMs.push(performance.now() - start - dueMs)
    } catch (error) {
      failures.push(String(error))
    }
  }
  const asked: Promise<void>[] = []
  for (let index = 0; index < options.warmUp + options.count; index += 1) {
    const dueMs = (index * 1_000) / options.reviewsASecond
    const early = dueMs - (performance.now() - start)
    if (early > 1) await delay(early)
    asked.push(ask(dueMs))
  }
  await Promise.all(asked)
  return { tookMs: tookMs.slice(options.warmUp), failures }
}
