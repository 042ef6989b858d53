import { bool, optional } from '../common/flags.ts'
import { ACCOUNT_DIRECTORY } from '../common/kubernetes/service-account.ts'
import { taintKey } from './startup-taint/taint.ts'

/** What a driver does through the API server, which it needs for nothing else. */
export const CLUSTER_FLAGS = {
  events: {
    doc: 'tell pods in events what is pulled for them, and what the policy denies; off where there is no service account',
    default: 'true',
    parse: bool,
  },
  'startup-taint': {
    value: 'KEY',
    doc: 'the taint that new nodes have until this driver is registered there, which removes it, e.g. csi.oras.land/agent-not-ready',
    default: '',
    parse: optional(taintKey),
  },
  'account-directory': {
    value: 'DIRECTORY',
    doc: "holds the service account's token and ca.crt",
    default: ACCOUNT_DIRECTORY,
    parse: (value: string) => value,
  },
} as const

/** How a driver uses the API server. */
export interface ClusterConfig {
  readonly events: boolean
  readonly startupTaint?: string
  readonly accountDirectory: string
}

/** The configuration that the flags give. */
export function clusterConfigOf(values: {
  readonly events: boolean
  readonly 'startup-taint': string | undefined
  readonly 'account-directory': string
}): ClusterConfig {
  const startupTaint = values['startup-taint']
  return {
    events: values.events,
    ...(startupTaint !== undefined && { startupTaint }),
    accountDirectory: values['account-directory'],
  }
}
