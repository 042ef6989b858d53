import { formatReference } from '../common/oci/reference.ts'
import type { PlannedMount } from './mount-plan.ts'
import type { PlannedVolume } from './volume-plan.ts'

/**
 * Writes the value of `oras.land/status`: what was composed, for people and queries, as compact JSON:
 *
 *     {"volumes":[{"name":"oras-app","reference":"ghcr.io/acme/app:v1","mounts":[{"container":"java","mountPath":"/app"}]}]}
 *
 * The same composition and containers give the same text. It is never read back.
 */
export function statusText(
  volumes: readonly PlannedVolume[],
  mounts: readonly PlannedMount[],
): string {
  return JSON.stringify({
    volumes: volumes.map(({ name, source, secret }) => ({
      name,
      reference: formatReference(source.reference),
      ...(secret !== undefined && { secret }),
      mounts: mounts
        .filter(({ volume }) => volume === name)
        .map(({ container, entry }) => ({
          container: container.label,
          mountPath: entry.mountPath,
        })),
    })),
  })
}
