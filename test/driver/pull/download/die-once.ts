import { subscribe } from 'node:diagnostics_channel'
import { STAGE_CHANNEL, type Stage } from '../../../../driver/pull/stages.ts'

// Preloaded into a download thread: kills it at the first bytes of a download, but not of one that was taken up.
let resumed = false
subscribe(STAGE_CHANNEL, (message) => {
  const stage = message as Stage
  if (stage === 'ingest-resumed') resumed = true
  if (stage === 'bytes-written' && !resumed) throw new Error('the plug was pulled')
})
