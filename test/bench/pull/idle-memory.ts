import { setTimeout as delay } from 'node:timers/promises'
import { startNode } from '../../support/driver.ts'
import type { Benchmark, BenchmarkContext } from '../benchmark.ts'
import { memoryMb } from '../measure.ts'
import type { Row } from '../row.ts'
import { randomBlobs } from './content.ts'
import { startMeasuredDriver } from './measured-driver.ts'
import { serveContent } from './served-content.ts'

const CONTENT = randomBlobs('512 MiB')
// What is kept warm for the next pull is let go after half a minute.
const IDLE_MS = 60_000
const TABLE = 'Memory'
const WHAT = `driver, ${IDLE_MS / 1_000} s after it pulled ${CONTENT.what}`

/** What a driver keeps that has nothing to do any more. */
export const IDLE_MEMORY: Benchmark = {
  words: ['pull', 'idle', 'memory'],
  table: TABLE,
  what: WHAT,
  measure: measureIdle,
}

async function measureIdle({ env, ground }: BenchmarkContext): Promise<Row[]> {
  await ground.require(CONTENT.bytes * 4)
  await using served = await serveContent(CONTENT, ground)
  await using node = await startNode()
  await node.configure(served.host, `server = "http://${served.host}"`)
  await using directory = await ground.fresh('idle')
  await using driver = await startMeasuredDriver(node, { env, directory: directory.path })
  const { now: started } = await memoryMb(driver.pid)
  for (const name of [served.warmUpName, served.name]) {
    await using _ = await driver.publish(`${served.host}/${name}`)
  }
  const { now: busy, peak } = await memoryMb(driver.pid)
  await delay(IDLE_MS)
  const { now: idle } = await memoryMb(driver.pid)
  return [
    {
      table: TABLE,
      what: WHAT,
      figures: [
        { name: 'idle MB', value: idle, atMost: 110 },
        { name: 'peak MB', value: peak, atMost: 200 },
        { name: 'right after the pull MB', value: busy },
        { name: 'after its start MB', value: started },
      ],
    },
  ]
}
