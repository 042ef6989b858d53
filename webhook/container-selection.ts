import { invalidAt } from '../common/composition/annotation-value.ts'
import type { ContainerSelector, Entry } from '../common/composition/composition.ts'
import { formatContainerSelector } from '../common/composition/container-selector.ts'
import { matchesStarGlob } from '../common/composition/star-glob.ts'
import { didYouMean } from '../common/suggest.ts'
import type { Container } from './pod.ts'

/** Containers that meshes inject; an entry reaches them only when it names them. */
export const MESH_SIDECARS: readonly string[] = ['istio-proxy', 'linkerd-proxy']

/**
 * Finds the containers that an entry is mounted in, in the pod's order.
 *
 * @param sidecars regular containers that an entry without `containers` passes over
 * @returns empty only when every selector is optional (`name?`)
 * @throws INVALID when a selector matches nothing, listing the containers there are
 */
export function selectContainers(
  entry: Pick<Entry, 'place' | 'containers'>,
  containers: readonly Container[],
  sidecars: readonly string[],
): readonly Container[] {
  if (entry.containers === undefined) return selectDefault(entry, containers, sidecars)
  const selected = new Set<Container>()
  for (const selector of entry.containers) {
    const matching = containers.filter((container) => matches(selector, container))
    if (matching.length === 0 && !selector.optional) throw missing(entry, selector, containers)
    for (const container of matching) selected.add(container)
  }
  return containers.filter((container) => selected.has(container))
}

function selectDefault(
  entry: Pick<Entry, 'place' | 'containers'>,
  containers: readonly Container[],
  sidecars: readonly string[],
): readonly Container[] {
  const selected = containers.filter(
    ({ list, name }) => list === 'containers' && !sidecars.includes(name),
  )
  if (selected.length > 0) return selected
  throw invalidAt(
    { path: entry.place },
    `no container to mount it in: this pod has ${listed(containers)}; expected "containers" to name one`,
  )
}

function matches(selector: ContainerSelector, container: Container): boolean {
  const list = selector.init ? 'initContainers' : 'containers'
  return container.list === list && matchesStarGlob(selector.pattern, container.name)
}

function missing(
  entry: Pick<Entry, 'place'>,
  selector: ContainerSelector,
  containers: readonly Container[],
) {
  const text = formatContainerSelector(selector)
  const hint = didYouMean(
    text,
    containers.map(({ label }) => label),
  )
  return invalidAt(
    { path: entry.place },
    `container "${text}" does not exist; this pod has ${listed(containers)}${hint}`,
  )
}

function listed(containers: readonly Container[]): string {
  return containers.map(({ label }) => JSON.stringify(label)).join(', ') || 'none'
}
