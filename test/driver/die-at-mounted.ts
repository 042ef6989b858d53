import { subscribe } from 'node:diagnostics_channel'
import { STAGE_CHANNEL } from '../../driver/pull/stages.ts'

// Preloaded into the driver: kills it when a volume is mounted, and its lease does not say so yet.
subscribe(STAGE_CHANNEL, (stage) => {
  if (stage === 'mounted') process.kill(process.pid, 'SIGKILL')
})
