import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import type { Kubectl } from '../support/kubectl.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import {
  deploymentObject,
  deploymentReady,
  podObject,
  podReady,
  podsOf,
  shellIn,
} from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const PROGRAM = '#!/bin/sh\necho hello from the artifact > /tmp/said\nexec sleep 1000000\n'

test('an annotated Deployment comes up composed: its containers run the program from the artifact', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  load(registry, 'acme/hello:v1', artifact({ layers: [{ title: 'hello', content: PROGRAM }] }))
  await using scenario = await openScenario('composed')
  const { kubectl } = scenario
  await kubectl.apply([
    deploymentObject('hello', 2, {
      annotations: { 'oras.land/artifacts': '/app: ghcr.io/acme/hello:v1' },
      command: ['/app/hello'],
    }),
  ])
  await deploymentReady(kubectl, 'hello')

  const pods = await podsOf(kubectl, 'hello')
  expect(pods.length).toBe(2)
  for (const pod of pods) {
    expect(await shellIn(kubectl, pod.metadata.name, 'cat /tmp/said')).toBe(
      'hello from the artifact\n',
    )
    expect(pod.spec.containers[0].volumeMounts).toContainEqual({
      name: 'oras-app',
      mountPath: '/app',
      readOnly: true,
    })
  }
  expect(registry.count('GET', '/v2/acme/hello/blobs/*')).toBe(1)
})

test('pods without an annotation never touch the webhook', async () => {
  await using scenario = await openScenario('plain')
  const { kubectl } = scenario
  const before = await reviews(kubectl)
  await kubectl.apply([podObject('plain')])
  await podReady(kubectl, 'plain')
  expect(await reviews(kubectl)).toBe(before)
  // The same count moves when there is an annotation.
  const annotations = { 'oras.land/artifacts': '/app: ghcr.io/acme/hello' }
  await expect(kubectl.apply([podObject('annotated', { annotations })])).rejects.toThrow(
    'has neither tag nor digest',
  )
  expect(await reviews(kubectl)).toBe(before + 1)
})

/** How often the API server has asked our webhook, by its own count. */
async function reviews(kubectl: Kubectl): Promise<number> {
  const metrics = await kubectl.run('get', '--raw', '/metrics')
  const lines = metrics.match(
    /^apiserver_admission_webhook_request_total\{.*name="mutate\.csi\.oras\.land".*\} \d+$/gm,
  )
  return (lines ?? []).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
