import type { Host, Hosts, LayoutDirectoryHost, LayoutHttpHost } from '../../common/oci/hosts.ts'

const ROLE = { capabilities: { pull: true, resolve: true }, authoritative: true } as const

/** What `server = "oci-layout:///directory"` of a hosts.toml makes. */
export function directoryHost(directory: string): LayoutDirectoryHost {
  return { kind: 'layout-directory', directory, ...ROLE }
}

/** What `server = "oci-layout+http://host/path"` of a hosts.toml makes. */
export function webHost(base: string, fields: Partial<LayoutHttpHost> = {}): LayoutHttpHost {
  return {
    kind: 'layout-http',
    base,
    tls: { ca: [], verify: true },
    configured: true,
    headers: {},
    dialTimeoutMs: 10_000,
    ...ROLE,
    ...fields,
  }
}

/** Has the same hosts serve every registry. */
export function hostsOf(...hosts: readonly Host[]): Hosts {
  return { lookup: async () => ({ hosts }) }
}
