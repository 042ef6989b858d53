import { Buffer } from 'node:buffer'
import { createHash, randomFillSync } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import type { Ground } from '../ground.ts'
import { median } from '../measure.ts'
import { type Contestant, type RaceResult, samplesOf } from '../race.ts'
import type { Content } from './content.ts'
import { drain } from './drain.ts'
import type { ServedContent } from './served-content.ts'

// What fits into a core's own cache: fetching it from memory again and again would be measured, too.
const CHUNK_BYTES = 2 ** 18
// What takes longer is extrapolated.
const MAX_PROBE_BYTES = 512 * 2 ** 20

const NAMES = ['sha256 alone', 'link alone', 'disk alone'] as const

/**
 * What this machine needs for the parts of a pull that nobody can leave out, each alone: to hash it, to receive it, to write it. No
 * pull is faster than the slowest of the three.
 */
export function ceilingContestants(
  content: Content,
  served: ServedContent,
  ground: Ground,
): Contestant[] {
  const [sha256, link, disk] = NAMES
  // A blob is hashed by one core from end to end, and so is what an archive unpacks to.
  const perCore = content.isArchive
    ? content.bytes
    : (content.bytes / content.blobs) * Math.ceil(content.blobs / cpus().length)
  return [
    { name: sha256, lap: async () => ({ seconds: probe(perCore, hash) }) },
    {
      name: link,
      lap: async () => {
        const started = performance.now()
        for (const { path, size } of served.blobs) await drain(served.host, path, size)
        return { seconds: (performance.now() - started) / 1_000 }
      },
    },
    {
      name: disk,
      lap: async () => {
        await using directory = await ground.fresh('disk')
        const file = join(directory.path, 'file')
        return { seconds: probe(content.bytes, (bytes) => write(file, bytes)) }
      },
    },
  ]
}

/**
 * Seconds of the slowest of the three, or of the fastest of those who wrote the same: what somebody has done is possible.
 *
 * @param writers the names of the contestants that did
 */
export function ceilingSeconds(result: RaceResult, writers: readonly string[]): number {
  const secondsOf = (name: string) => samplesOf(result, name, (lap) => lap.seconds)
  const done = writers.map(secondsOf).filter((seconds) => seconds.length > 0)
  return Math.min(Math.max(...NAMES.map((name) => median(secondsOf(name)))), ...done.map(median))
}

/** Times the work on some of the bytes, and gives the seconds for all of them. */
function probe(bytes: number, work: (bytes: number) => void): number {
  const probed = Math.min(bytes, MAX_PROBE_BYTES)
  const started = performance.now()
  work(probed)
  return ((performance.now() - started) / 1_000) * (bytes / probed)
}

const chunk = randomFillSync(Buffer.alloc(CHUNK_BYTES))

function hash(bytes: number): void {
  const sha256 = createHash('sha256')
  for (const piece of pieces(bytes)) sha256.update(piece)
  sha256.digest()
}

function write(file: string, bytes: number): void {
  const descriptor = openSync(file, 'wx')
  for (const piece of pieces(bytes)) writeSync(descriptor, piece)
  closeSync(descriptor)
}

function* pieces(bytes: number): Generator<Uint8Array> {
  for (let done = 0; done < bytes; done += CHUNK_BYTES) {
    yield chunk.subarray(0, Math.min(CHUNK_BYTES, bytes - done))
  }
}
