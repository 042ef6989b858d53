import { subscribe } from 'node:diagnostics_channel'
import { appendFileSync, readFileSync } from 'node:fs'
import process from 'node:process'
import { isMainThread, threadName } from 'node:worker_threads'
import { STAGE_CHANNEL } from '../../../driver/pull/stages.ts'

// Preloaded into a driver and each of its threads (they inherit NODE_OPTIONS): notes every stage in a file, one a line, and kills the
// process at the hit that it is told, e.g. the second of a stage, in whichever thread that falls.

// biome-ignore lint/style/noProcessEnv: a preloaded module has no other way to be told
const { STAGE_LOG: log = '', DIE_AT_STAGE: fatalStage, DIE_AT_HIT: fatalHit } = process.env

subscribe(STAGE_CHANNEL, (stage) => {
  // Before the plug is pulled: nothing else is left of the process. Appended by several threads, each line in one write.
  appendFileSync(log, `${stage} ${isMainThread ? 'main' : threadName}\n`)
  if (stage !== fatalStage) return
  const hits = readFileSync(log, 'utf8').split('\n')
  if (hits.filter((line) => line.startsWith(`${stage} `)).length < Number(fatalHit)) return
  process.kill(process.pid, 'SIGKILL')
})
