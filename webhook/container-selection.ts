import type { ContainerSelector, Entry } from '../common/composition/composition.ts'
import {
  formatContainerSelector,
  formatContainerSelectors,
} from '../common/composition/container-selector.ts'
import {
  type FindingCollector,
  invalidAt,
  type Notice,
  warningAt,
} from '../common/composition/finding.ts'
import { matchesStarGlob } from '../common/composition/star-glob.ts'
import { didYouMean } from '../common/suggest.ts'
import type { ComposeContext } from './compose.ts'
import type { Container } from './pod.ts'

/**
 * Containers that meshes and their like inject: Istio, Linkerd, Kuma, Consul, Dapr, Knative, Vault. An entry reaches them only when it names
 * them. Names that users give too (`envoy`) are not among them.
 */
export const INJECTED_SIDECARS: readonly string[] = [
  'istio-proxy',
  'linkerd-proxy',
  'kuma-sidecar',
  'consul-dataplane',
  'daprd',
  'queue-proxy',
  'vault-agent',
]

/** The containers of a pod, by the selectors of entries. */
export interface SelectedContainers {
  /** Those that an entry is mounted in; empty when all of its selectors are optional, or one of them was refused. */
  of(entry: Pick<Entry, 'place' | 'containers'>): ReadonlySet<Container>
  readonly warnings: readonly Notice[]
}

/**
 * Starts to select containers of one pod; entries with the same selectors are selected for once.
 *
 * @param collector is told of selectors that match nothing, with the containers there are
 */
export function createContainerSelection(
  containers: readonly Container[],
  { sidecars = INJECTED_SIDECARS, origin = 'pod' }: Pick<ComposeContext, 'sidecars' | 'origin'>,
  { attempt }: FindingCollector,
): SelectedContainers {
  const known = new Map<string | undefined, ReadonlySet<Container>>()
  const warnings: Notice[] = []

  function select({ place, containers: selectors }: Pick<Entry, 'place' | 'containers'>) {
    if (selectors === undefined) {
      const selected = new Set(attempt(() => selectDefault(place, containers, sidecars)))
      known.set(undefined, selected)
      return selected
    }
    const selected = new Set<Container>()
    let complete = true
    for (const selector of selectors) {
      const matching = containers.filter((container) => matches(selector, container))
      for (const container of matching) selected.add(container)
      if (matching.length > 0 || selector.optional) continue
      const at = selector.place ?? place
      if (origin === 'template' && sidecars.includes(selector.pattern)) {
        const text = `Container "${formatContainerSelector(selector)}" is not in the template: expected to be injected`
        warnings.push(warningAt(at, text))
        continue
      }
      complete = false
      attempt(() => {
        throw invalidAt(at, missing(selector, containers))
      })
    }
    // An entry that writes the same wrong name is told of its own.
    if (complete) known.set(formatContainerSelectors(selectors), selected)
    return selected
  }

  return {
    warnings,
    of(entry) {
      return known.get(formatContainerSelectors(entry.containers)) ?? select(entry)
    },
  }
}

function selectDefault(
  place: Entry['place'],
  containers: readonly Container[],
  sidecars: readonly string[],
): readonly Container[] {
  const selected = containers.filter(
    ({ list, name }) => list === 'containers' && !sidecars.includes(name),
  )
  if (selected.length > 0) return selected
  throw invalidAt(
    place,
    `no container to mount it in: this pod has ${listed(containers)}; expected "containers" to name one`,
  )
}

function matches(selector: ContainerSelector, container: Container): boolean {
  const list = selector.init ? 'initContainers' : 'containers'
  return container.list === list && matchesStarGlob(selector.pattern, container.name)
}

function missing(selector: ContainerSelector, containers: readonly Container[]): string {
  const text = formatContainerSelector(selector)
  const labels = containers.map(({ label }) => label)
  const namesake = containers.find(({ name }) => name === selector.pattern)
  const hint =
    namesake === undefined ? didYouMean(text, labels) : `; did you mean "${namesake.label}"?`
  const expected = `; expected one of them, or "${text}?" where it may be missing`
  return `container "${text}" does not exist; this pod has ${listed(containers)}${hint || expected}`
}

function listed(containers: readonly Container[]): string {
  return containers.map(({ label }) => JSON.stringify(label)).join(', ') || 'none'
}
