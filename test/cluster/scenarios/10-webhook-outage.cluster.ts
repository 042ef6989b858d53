import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { poll } from '../../support/poll.ts'
import { ready, WEBHOOK_NAMESPACE } from '../support/install.ts'
import { createKubectl, type Kubectl, type KubernetesObject } from '../support/kubectl.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { deploymentObject, deploymentReady, podObject, podReady } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const annotations = { 'oras.land/artifacts': '/app: ghcr.io/acme/steady:v1' }

test('webhook pods are deleted one at a time while Deployments are created: none is refused', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  load(registry, 'acme/steady:v1', artifact({ layers: [{ title: 'a.txt', content: 'a' }] }))
  await using scenario = await openScenario('steady')
  const { kubectl, places } = scenario
  const cluster = createKubectl(places)
  const created: string[] = []
  let rolling = true
  const creating = (async () => {
    while (rolling) {
      const name = `steady-${created.length}`
      await kubectl.apply([deploymentObject(name, 1, { annotations })])
      // A Deployment's pods show a refusal as an event; one made by hand, at once.
      await kubectl.dryRun(JSON.stringify(podObject(name, { annotations })))
      const old = created.at(-MAX_DEPLOYMENTS)
      if (old !== undefined) await kubectl.run('delete', 'deployment', old)
      created.push(name)
    }
  })()
  try {
    for (const pod of await webhookPods(cluster)) {
      await cluster.in(WEBHOOK_NAMESPACE).runFor(65_000, 'delete', 'pod', pod, '--timeout=60s')
      await ready(cluster)
    }
  } finally {
    rolling = false
    await creating
  }
  expect(created.length).toBeGreaterThan(10)
  expect(await refusals(kubectl)).toEqual([])
})

test('with all webhook pods gone only annotated pods are refused; they start when it is back', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  load(registry, 'acme/steady:v1', artifact({ layers: [{ title: 'a.txt', content: 'a' }] }))
  await using scenario = await openScenario('outage')
  const { kubectl, places } = scenario
  const cluster = createKubectl(places)
  const webhook = cluster.in(WEBHOOK_NAMESPACE)
  await webhook.run('scale', 'deployment/oras-csi-webhook', '--replicas=0')
  try {
    await poll(async () => (await webhookPods(cluster)).length === 0, {
      deadlineMs: 60_000,
      what: 'the webhook pods to be gone',
    })
    await expect(kubectl.apply([podObject('annotated', { annotations })])).rejects.toThrow(
      'failed calling webhook "mutate.csi.oras.land"',
    )
    await kubectl.apply([podObject('plain'), deploymentObject('waiting', 1, { annotations })])
    await podReady(kubectl, 'plain')
    await poll(async () => (await refusals(kubectl)).length > 0, {
      deadlineMs: 60_000,
      what: 'the Deployment to be refused its pod',
    })
  } finally {
    await webhook.run('scale', 'deployment/oras-csi-webhook', '--replicas=2')
  }
  await ready(cluster)
  await kubectl.apply([podObject('annotated', { annotations })])
  await podReady(kubectl, 'annotated')
  await deploymentReady(kubectl, 'waiting')
})

/** A node takes 110 pods. */
const MAX_DEPLOYMENTS = 40

async function webhookPods(kubectl: Kubectl): Promise<string[]> {
  const { items } = await kubectl.in(WEBHOOK_NAMESPACE).get('pods')
  return items.map((pod: KubernetesObject) => pod.metadata.name)
}

/** What controllers were told when they could not make a pod. */
async function refusals(kubectl: Kubectl): Promise<string[]> {
  const { items } = await kubectl.get('events', '--field-selector=reason=FailedCreate')
  return items.map((event: KubernetesObject) => event.message)
}
