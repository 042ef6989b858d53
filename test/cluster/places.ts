import { join } from 'node:path'

/** Where the state of a cluster lies. Everything of it is below `root`, but for the paths of {@link NODE_PATHS}. */
export interface Places {
  readonly root: string
  /** Keys, certificates and kubeconfigs. */
  readonly pki: string
  /** Configuration files of the daemons. */
  readonly etc: string
  /** One log for each daemon. */
  readonly log: string
  /** Sockets, and one `<name>.pid` for each daemon. */
  readonly run: string
  /** A directory with the kubectl of the cluster's version. */
  readonly bin: string
  /** The kubeconfig of the cluster's admin. */
  readonly kubeconfig: string
  readonly containerdSocket: string
  file(...names: string[]): string
}

/**
 * The paths of the node that the shipped manifests name: the kubelet's root, and the container runtime's registry configuration.
 * The cluster uses them as they are, so that it runs the manifests as they are.
 */
export const NODE_PATHS = {
  kubelet: '/var/lib/kubelet',
  registries: '/etc/containerd/certs.d',
} as const

/** Short: a unix socket's path holds 107 bytes. */
export const DEFAULT_ROOT = '/var/lib/oras-csi-cluster'

/** Names what lies where below `root`. */
export function placesIn(root: string): Places {
  const file = (...names: string[]) => join(root, ...names)
  return {
    root,
    pki: file('pki'),
    etc: file('etc'),
    log: file('log'),
    run: file('run'),
    bin: file('bin'),
    kubeconfig: file('pki', 'admin.kubeconfig'),
    containerdSocket: file('run', 'containerd.sock'),
    file,
  }
}
