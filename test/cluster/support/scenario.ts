import { inject } from 'vitest'
import { poll } from '../../support/poll.ts'
import { type Places, placesIn } from '../places.ts'
import { createKubectl, type Kubectl } from './kubectl.ts'

/** A namespace of its own on the running cluster. Disposing ends its pods and removes it. */
export interface Scenario extends AsyncDisposable {
  readonly places: Places
  /** kubectl in the scenario's namespace. */
  readonly kubectl: Kubectl
  readonly namespace: string
}

/** Opens a namespace, e.g. `composed`, in which pods can be made. */
export async function openScenario(namespace: string): Promise<Scenario> {
  const places = placesIn(inject('clusterRoot'))
  const cluster = createKubectl(places)
  const kubectl = cluster.in(namespace)
  await cluster.run('create', 'namespace', namespace)
  await poll(() => kubectl.run('get', 'serviceaccount', 'default'), {
    deadlineMs: 30_000,
    what: `the default account of namespace ${namespace}`,
  })
  return {
    places,
    kubectl,
    namespace,
    [Symbol.asyncDispose]: async () => {
      const all = ['deployment,replicaset,statefulset,cronjob,job,pod', '--all']
      await kubectl.runFor(90_000, 'delete', ...all, '--grace-period=1', '--timeout=80s')
      await cluster.runFor(90_000, 'delete', 'namespace', namespace, '--timeout=80s')
    },
  }
}
