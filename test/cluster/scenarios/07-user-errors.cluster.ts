import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { poll } from '../../support/poll.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { podObject, podReady, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

test('a typo in the annotation is what kubectl apply of a pod answers', async () => {
  await using scenario = await openScenario('typo')
  const { kubectl } = scenario
  const apply = (annotations: Record<string, string>) =>
    kubectl.apply([podObject('typo', { annotations })])
  await expect(
    apply({
      'oras.land/artifacts': '- reference: ghcr.io/acme/app:v1\n  mountPth: /app',
    }),
  ).rejects.toThrow(
    /admission webhook "mutate\.csi\.oras\.land" denied the request: .*"mountPth".*did you mean "mountPath"/,
  )
  await expect(
    apply({
      'oras.land/artifacts': '/app: {reference: "ghcr.io/acme/app:v1", containers: [mian]}',
    }),
  ).rejects.toThrow('container "mian" does not exist; this pod has "main"')
})

test('a missing artifact is what kubectl describe pod shows; once it is pushed, the pod starts by itself', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  await using scenario = await openScenario('missing')
  const { kubectl } = scenario
  await kubectl.apply([
    podObject('early', {
      annotations: { 'oras.land/artifacts': '/app: ghcr.io/acme/late:v1' },
    }),
  ])
  const described = await poll(
    async () => {
      const text = await kubectl.run('describe', 'pod', 'early')
      return text.includes('FailedMount') && text
    },
    { deadlineMs: 60_000, what: 'the FailedMount event' },
  )
  expect(described).toContain('Cannot pull "ghcr.io/acme/late:v1": registry has no ')

  load(registry, 'acme/late:v1', artifact({ layers: [{ title: 'late.txt', content: 'better' }] }))
  // The kubelet's pauses between two attempts double, up to two minutes.
  await podReady(kubectl, 'early', 150_000)
  expect(await shellIn(kubectl, 'early', 'cat /app/late.txt')).toBe('better')
})
