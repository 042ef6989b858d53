import { channel } from 'node:diagnostics_channel'

/**
 * The stages of a publish that a crash may fall between, in their usual order. Each is announced just after what it names has happened.
 */
export const STAGES = [
  'lease-written',
  'manifest-stored',
  'ingest-opened',
  'ingest-resumed',
  'bytes-written',
  'blob-verified',
  'blob-committed',
  'staging-made',
  'unpack-begun',
  'tree-built',
  'tree-recorded',
  'tree-committed',
  'view-built',
  'mounted',
  'lease-completed',
] as const

export type Stage = (typeof STAGES)[number]

/** Where stages are announced, with the stage's name as the message: for whoever wants to watch, or to pull the plug exactly there. */
export const STAGE_CHANNEL = 'oras-csi:stage'

const stages = channel(STAGE_CHANNEL)

/** Announces a stage; costs nothing when nobody listens. Works in threads too, each of which has listeners of its own. */
export function reachStage(stage: Stage): void {
  if (stages.hasSubscribers) stages.publish(stage)
}
