import { type FlagTable, text } from '../common/flags.ts'

/** The flag about how registries are reached; the command line has it too. */
export const HOSTS_FLAGS = {
  'hosts-directory': {
    value: 'DIRECTORY',
    doc: "registries' addresses and certificates: containerd's hosts.toml directories",
    default: '/etc/containerd/certs.d',
    parse: text,
  },
} as const satisfies FlagTable
