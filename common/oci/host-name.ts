import type { Host } from './hosts.ts'

/** Writes a host for people, as a hosts.toml has it, e.g. `https://mirror.example.com` or `oci-layout:///srv/artifacts`. */
export function nameOfHost(host: Host): string {
  switch (host.kind) {
    case 'registry':
      return host.base.replace(/^([^/]+\/\/[^/]+)\/v2$/, '$1')
    case 'layout-http':
      return `oci-layout+${host.base}`
    case 'layout-directory':
      return `oci-layout://${host.directory}`
  }
}
