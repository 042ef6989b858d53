import { connect } from 'node:tls'
import { expect, test } from 'vitest'
import { poll } from '../../support/poll.ts'
import { WEBHOOK_NAMESPACE } from '../support/install.ts'
import { createKubectl, type Kubectl, type KubernetesObject } from '../support/kubectl.ts'
import { podObject } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const CERTIFICATE = 'oras-csi-webhook'

test('cert-manager renews the certificate while the webhook serves: no review fails', async () => {
  await using scenario = await openScenario('renewal')
  const cluster = createKubectl(scenario.places)
  const before = await served(cluster)
  let reviews = 0
  let renewing = true
  const reviewing = (async () => {
    const annotations = { 'oras.land/artifacts': '/app: ghcr.io/acme/app:v1' }
    const pod = JSON.stringify(podObject('review', { annotations }))
    while (renewing) {
      await scenario.kubectl.dryRun(pod)
      reviews += 1
    }
  })()
  try {
    await renew(cluster)
    // The kubelet takes up to a minute and a half to hand a changed secret to pods.
    await poll(
      async () => {
        const now = await served(cluster)
        return now.size === 1 && ![...now].some((serial) => before.has(serial))
      },
      { deadlineMs: 180_000, what: 'every webhook pod to serve the new certificate' },
    )
  } finally {
    renewing = false
    await reviewing
  }
  expect(reviews).toBeGreaterThan(10)
})

/** Asks for a renewal as `cmctl renew` does: by a condition in the Certificate's status. */
async function renew(kubectl: Kubectl): Promise<void> {
  const condition = {
    type: 'Issuing',
    status: 'True',
    reason: 'ManuallyTriggered',
    message: 'Certificate re-issuance manually triggered',
    lastTransitionTime: new Date().toISOString(),
  }
  const { status } = await kubectl.in(WEBHOOK_NAMESPACE).get('certificate', CERTIFICATE)
  const patch = JSON.stringify({ status: { conditions: [...status.conditions, condition] } })
  const args = ['patch', 'certificate', CERTIFICATE, '--subresource=status', '--type=merge']
  await kubectl.in(WEBHOOK_NAMESPACE).run(...args, '--patch', patch)
}

/** The serial numbers of the certificates that the webhook's pods serve. */
async function served(kubectl: Kubectl): Promise<ReadonlySet<string>> {
  const { items } = await kubectl.in(WEBHOOK_NAMESPACE).get('pods')
  const addresses: readonly string[] = items.map((pod: KubernetesObject) => pod.status.podIP)
  return new Set(await Promise.all(addresses.map(serialNumberAt)))
}

async function serialNumberAt(host: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  // Only looked at, not trusted.
  const socket = connect({ host, port: 9443, rejectUnauthorized: false, timeout: 10_000 }, () =>
    resolve(socket.getPeerCertificate().serialNumber),
  )
  socket.once('error', reject)
  socket.once('timeout', () => reject(new Error(`${host} does not answer`)))
  return promise.finally(() => socket.destroy())
}
