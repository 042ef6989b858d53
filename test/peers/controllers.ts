import { join } from 'node:path'
import { buildGoTools } from '../cluster/parts/go-tools.ts'
import { type ChildProcess, startProcess } from '../support/process.ts'
import type { KubernetesApi } from './kubernetes-api.ts'

/** Those that make pods; a DaemonSet's would need a node. */
const CONTROLLERS = [
  'deployment-controller',
  'replicaset-controller',
  'statefulset-controller',
  'job-controller',
  'cronjob-controller',
]

/**
 * Starts the controllers that turn workloads into pods, each as its own account, beside an API server. Nothing runs what they make.
 * Disposing ends them.
 */
export async function startControllers({ kubeconfig }: KubernetesApi): Promise<ChildProcess> {
  return startProcess({
    command: join(await buildGoTools('kubernetes-1.36'), 'kube-controller-manager'),
    args: [
      `--kubeconfig=${kubeconfig}`,
      `--controllers=${CONTROLLERS.join(',')}`,
      '--use-service-account-credentials=true',
      '--leader-elect=false',
      '--secure-port=0',
    ],
  })
}
