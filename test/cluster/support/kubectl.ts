import { join } from 'node:path'
import { run } from '../../support/command.ts'
import type { Places } from '../places.ts'

/** One object of the API, as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into objects of every kind, and fail where something is not there
export type KubernetesObject = any

/** kubectl, as a person uses it. Every call ends: at its deadline if nothing else ends it. */
export interface Kubectl {
  /** Runs `kubectl ARGS...` and gives its standard output. @throws with what kubectl said */
  run(...args: readonly string[]): Promise<string>
  /** Like {@link run}, for what takes longer than half a minute, e.g. `rollout status`. */
  runFor(timeoutMs: number, ...args: readonly string[]): Promise<string>
  /** Runs `kubectl get ARGS... -o json`. */
  get(...args: readonly string[]): Promise<KubernetesObject>
  /** Applies YAML or JSON text, or objects. */
  apply(manifest: string | readonly object[]): Promise<string>
  /** Sends an object through admission and forgets it. */
  dryRun(manifest: string): Promise<string>
  /** The same tool in a namespace. */
  in(namespace: string): Kubectl
}

const TIMEOUT_MS = 30_000

/** The cluster's own kubectl, as its admin. */
export function createKubectl(places: Places, namespace?: string): Kubectl {
  const where = namespace === undefined ? [] : ['--namespace', namespace]
  const call = (timeoutMs: number, args: readonly string[], input?: string) =>
    run(join(places.bin, 'kubectl'), ['--kubeconfig', places.kubeconfig, ...where, ...args], {
      timeoutMs,
      ...(input !== undefined && { input }),
    })
  return {
    run: (...args) => call(TIMEOUT_MS, args),
    runFor: (timeoutMs, ...args) => call(timeoutMs, args),
    get: async (...args) => JSON.parse(await call(TIMEOUT_MS, ['get', ...args, '-o', 'json'])),
    apply: (manifest) => {
      const text =
        typeof manifest === 'string'
          ? manifest
          : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifest })
      return call(TIMEOUT_MS, ['apply', '-f', '-'], text)
    },
    dryRun: (manifest) =>
      call(TIMEOUT_MS, ['create', '--dry-run=server', '-f', '-', '-o', 'name'], manifest),
    in: (other) => createKubectl(places, other),
  }
}

/** Every object that an installation may bring, by name, e.g. `namespace/default`; no events, no leases. */
export async function apiObjects(kubectl: Kubectl): Promise<readonly string[]> {
  const kinds = [
    ...['namespace', 'csidriver', 'clusterrole', 'clusterrolebinding', 'priorityclass'],
    ...['mutatingwebhookconfiguration', 'validatingwebhookconfiguration'],
    ...['validatingadmissionpolicy', 'validatingadmissionpolicybinding'],
    ...['customresourcedefinition', 'deployment', 'daemonset', 'pod', 'service', 'serviceaccount'],
    ...['secret', 'configmap', 'issuer', 'certificate', 'certificaterequest', 'resourcequota'],
  ]
  const names = await kubectl.run('get', kinds.join(','), '--all-namespaces', '-o', 'name')
  return names
    .split('\n')
    .filter((line) => line !== '')
    .sort()
}
