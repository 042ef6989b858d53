import { CodedError } from '../../common/errors.ts'
import type { Hosts } from '../../common/oci/hosts.ts'
import { formatReference } from '../../common/oci/reference.ts'
import type { VolumePolicy } from './publisher.ts'

/**
 * Holds a pod's wish for plain HTTP or unverified TLS against what the admin has configured for that registry: a pod's word alone never
 * lowers the protection of a connection.
 */
export function createRegistryConsent(hosts: Hosts): VolumePolicy {
  return {
    async check({ spec }) {
      for (const { reference } of spec.sources) {
        const { server } = await hosts.lookup(reference.registry)
        const plain = server.base.startsWith('http:')
        const wish =
          spec.plainHttp && !plain
            ? 'oras.options.plainhttp'
            : spec.insecure && !plain && server.tls.verify
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
