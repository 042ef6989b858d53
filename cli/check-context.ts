import type { CheckFinding } from './check-finding.ts'
import type { KubernetesSnapshot } from './kubernetes-snapshot.ts'

/** What a check looks at. */
export interface CheckContext {
  readonly view: KubernetesSnapshot
  /** Whose pods and workloads are looked at; absent: everybody's. */
  readonly namespace?: string
  readonly now: Date
  /** Of this program, e.g. `0.1.0`. */
  readonly version: string
}

/** One question to a cluster. */
export interface ClusterCheck {
  /** Completes "Cannot tell ..." when one may not look, e.g. `whether all nodes have the driver`. */
  readonly about: string
  /** What one must be allowed to, e.g. `list nodes`: the end of `kubectl auth can-i`. */
  readonly needs: string
  /** @throws DENIED when the API server forbids to look, UNAVAILABLE when it does not answer */
  run(context: CheckContext): Promise<readonly CheckFinding[]>
}
