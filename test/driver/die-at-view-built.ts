import { subscribe } from 'node:diagnostics_channel'
import { STAGE_CHANNEL } from '../../driver/pull/stages.ts'

// Preloaded into the driver: kills it when a view is complete, and not visible yet.
subscribe(STAGE_CHANNEL, (stage) => {
  if (stage === 'view-built') process.kill(process.pid, 'SIGKILL')
})
