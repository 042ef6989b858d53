import type { Source } from '../common/composition/composition.ts'
import { formatReference } from '../common/oci/reference.ts'
import type { PlannedEnv } from './environment.ts'
import type { PlannedMount } from './mount-plan.ts'
import type { PlannedVolume } from './volume-plan.ts'

/**
 * Writes the value of `oras.land/status`: what was composed, for people and queries, as compact JSON:
 *
 *     {"volumes":[{"name":"oras-app","reference":"ghcr.io/acme/app:v1","mounts":[{"container":"java","mountPath":"/app"}]}]}
 *
 * A volume of several sources has `references`, in their order. Where variables were composed, `env` follows: `"env":[{"container":"java","names":["APP_HOME"]}]`,
 * with those that hold what the composition says. The same composition and containers give the same text. It is never read back.
 */
export function statusText(
  volumes: readonly PlannedVolume[],
  mounts: readonly PlannedMount[],
  env: readonly PlannedEnv[] = [],
): string {
  const variables = env
    .filter(({ names }) => names.length > 0)
    .map(({ container, names }) => ({ container: container.label, names }))
  const mounted = Map.groupBy(mounts, ({ volume }) => volume)
  return JSON.stringify({
    volumes: volumes.map(({ name, sources, secret }) => ({
      name,
      ...references(sources),
      ...(secret !== undefined && { secret }),
      mounts: mounted.get(name)?.map(({ container, placement }) => ({
        container: container.label,
        mountPath: placement.mountPath,
      })),
    })),
    ...(variables.length > 0 && { env: variables }),
  })
}

function references(sources: readonly Source[]): object {
  const [first, ...others] = sources.map(({ reference }) => formatReference(reference))
  return others.length === 0 ? { reference: first } : { references: [first, ...others] }
}
