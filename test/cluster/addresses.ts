/**
 * The addresses of the cluster: on links of its own, so that it is in nobody's way.
 *
 * There is no kube-proxy. The API server listens at the first service address, which every pod is told of, and reaches webhooks by
 * their endpoints; nothing else needs a service address.
 */
export const ADDRESSES = {
  /** The link that carries the node's and the API server's address. */
  nodeLink: 'oras-csi-node',
  /** The bridge that pods hang on. */
  podLink: 'oras-csi-pods',
  node: '10.99.0.1',
  apiServer: '10.96.0.1',
  services: '10.96.0.0/16',
  pods: '10.98.0.0/16',
} as const

/** Ports on the node that are not given by a manifest. */
export const PORTS = {
  apiServer: 443,
  etcdClient: 2479,
  etcdPeer: 2480,
  certManagerWebhook: 10_260,
  certManagerWebhookHealth: 10_261,
  registry: 5000,
} as const

export const NODE_NAME = 'node1'
