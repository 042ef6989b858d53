import { poll } from '../../support/poll.ts'
import type { Kubectl } from './kubectl.ts'

/** The namespaces of the shipped manifests. */
export const WEBHOOK_NAMESPACE = 'oras-csi'
export const DRIVER_NAMESPACE = 'oras-csi-node'

const MANIFESTS = new URL('../../../manifests/', import.meta.url).pathname
const ROLLOUT_MS = 180_000

/** The path of an example, e.g. `java.yaml`. */
export function exampleFile(name: string): string {
  return `${MANIFESTS}examples/${name}`
}

/** Does what the README says: applies the manifests, and waits until all of it is ready. */
export async function install(kubectl: Kubectl): Promise<void> {
  await kubectl.runFor(60_000, 'apply', '-k', MANIFESTS)
  await ready(kubectl)
}

/** Waits until the webhook and the driver serve, and the API server trusts the webhook. */
export async function ready(kubectl: Kubectl): Promise<void> {
  const status = ['rollout', 'status', `--timeout=${ROLLOUT_MS / 1000}s`]
  const webhook = kubectl.in(WEBHOOK_NAMESPACE)
  await webhook.runFor(ROLLOUT_MS + 5_000, ...status, 'deployment/oras-csi-webhook')
  const driver = kubectl.in(DRIVER_NAMESPACE)
  await driver.runFor(ROLLOUT_MS + 5_000, ...status, 'daemonset/oras-csi-driver')
  await poll(
    async () => {
      const configuration = await kubectl.get('mutatingwebhookconfiguration', 'oras-csi')
      const [webhook] = configuration.webhooks
      // An old cert-manager drops what its version of Kubernetes did not know; then every pod would wait for the webhook.
      if (webhook.clientConfig.caBundle !== undefined && webhook.matchConditions === undefined) {
        throw new Error('cert-manager dropped the matchConditions of the webhook')
      }
      return webhook.clientConfig.caBundle !== undefined
    },
    { deadlineMs: 60_000, what: "cert-manager to name the webhook's authority" },
  )
}

/** Removes what {@link install} brought, where it is there, and waits until it is gone. */
export async function uninstall(kubectl: Kubectl): Promise<void> {
  const flags = ['--ignore-not-found', '--timeout=170s']
  await kubectl.runFor(180_000, 'delete', '-k', MANIFESTS, ...flags)
}
