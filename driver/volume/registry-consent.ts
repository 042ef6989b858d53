import { CodedError } from '../../common/errors.ts'
import type { Host, Hosts } from '../../common/oci/hosts.ts'
import { formatReference } from '../../common/oci/reference.ts'
import type { Volume } from './volume.ts'

/**
 * Holds a pod's wish for plain HTTP or unverified TLS against what the admin has configured for that registry: a pod's word alone never
 * lowers the protection of a connection. A wish is granted that the registry's server, or one of its mirrors, is configured for.
 */
export function createRegistryConsent(hosts: Hosts): {
  /** @throws DENIED naming the wish and what would grant it */
  check(volume: Pick<Volume, 'spec'>): Promise<void>
} {
  return {
    async check({ spec }) {
      // Nearly all: nothing is looked up for them.
      if (!spec.plainHttp && !spec.insecure) return
      for (const { reference } of spec.sources) {
        const configured = (await hosts.lookup(reference.registry)).hosts
        const wish =
          spec.plainHttp && !configured.some(isPlain)
            ? 'oras.options.plainhttp'
            : spec.insecure && !configured.some((host) => isPlain(host) || isUnverified(host))
              ? 'oras.options.insecure'
              : undefined
        if (wish === undefined) continue
        const setting =
          wish === 'oras.options.plainhttp'
            ? `server = "http://${reference.registry}"`
            : 'skip_verify = true'
        throw new CodedError(
          'DENIED',
          `Cannot pull "${formatReference(reference)}": "${wish}" needs the admin's consent; an admin can put ${setting} into ${reference.registry}/hosts.toml below the driver's --hosts-directory`,
        )
      }
    },
  }
}

function isPlain(host: Host): boolean {
  return host.kind !== 'layout-directory' && host.base.startsWith('http:')
}

function isUnverified(host: Host): boolean {
  return host.kind !== 'layout-directory' && !host.tls.verify
}
