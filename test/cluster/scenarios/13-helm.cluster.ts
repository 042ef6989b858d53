import { writeFile } from 'node:fs/promises'
import { expect, inject, test } from 'vitest'
import { buildGoProgram } from '../../peers/go-program.ts'
import { artifact, load } from '../../support/artifact.ts'
import { run } from '../../support/command.ts'
import { poll } from '../../support/poll.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { placesIn } from '../places.ts'
import { ready, WEBHOOK_NAMESPACE } from '../support/install.ts'
import { apiObjects, createKubectl } from '../support/kubectl.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { podObject, podReady, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const CHART = new URL('../../../chart', import.meta.url).pathname
const HELM_MS = 240_000
const POLICY = `apiVersion: csi.oras.land/v1alpha1
kind: Policy
rules:
  - name: ours
    references: ["ghcr.io/acme/*"]
    effect: allow
default: deny
`
const DENIED = 'admission webhook "mutate.csi.oras.land" denied the request'
const annotations = { 'oras.land/artifacts': '/app: ghcr.io/acme/kept:v1' }

// The scenario before this one took the manifests' installation away.
test('Helm installs it without cert-manager, upgrades it, rolls it back and removes it; a running pod keeps what it has', async () => {
  const places = placesIn(inject('clusterRoot'))
  const cluster = createKubectl(places)
  const program = await buildGoProgram('helm')
  const helm = (command: string, ...args: readonly string[]) => {
    const where = ['--namespace', WEBHOOK_NAMESPACE, '--kubeconfig', places.kubeconfig]
    const wait = ['--wait', '--timeout', '180s']
    return run(program, [command, 'oras-csi', ...args, ...where, ...wait], { timeoutMs: HELM_MS })
  }
  await using directory = await temporaryDirectory()
  await writeFile(directory.file('policy.yaml'), POLICY)
  const install = [CHART, '--create-namespace', '--set', 'certificate.source=self-signed']
  const notes = await helm('install', ...install)
  expect(notes).toContain(
    "The webhook's certificate is renewed by the CronJob oras-csi-certificate",
  )
  await ready(cluster)
  {
    await using registry = await startNodeRegistry('ghcr.io')
    load(registry, 'acme/kept:v1', artifact({ layers: [{ title: 'a.txt', content: 'kept' }] }))
    await using scenario = await openScenario('helm')
    const { kubectl } = scenario
    await kubectl.apply([podObject('before', { annotations })])
    await podReady(kubectl, 'before')
    const { metadata } = await kubectl.get('pod', 'before')
    const stillRuns = async () => {
      const pod = await kubectl.get('pod', 'before')
      expect(pod.metadata.uid).toBe(metadata.uid)
      expect(pod.status.containerStatuses[0].restartCount).toBe(0)
      expect(await shellIn(kubectl, 'before', 'cat /app/a.txt')).toBe('kept')
    }
    await stillRuns()

    const values = ['--set', 'certificate.source=self-signed']
    const policy = ['--set-file', `policy=${directory.file('policy.yaml')}`]
    await helm(
      'upgrade',
      CHART,
      ...values,
      ...policy,
      '--set-string',
      'driver.flags.max-downloads=4',
    )
    await ready(cluster)
    await stillRuns()
    await kubectl.apply([podObject('after', { annotations })])
    await podReady(kubectl, 'after')
    const refused = podObject('refused', {
      annotations: { 'oras.land/artifacts': '/app: docker.io/acme/kept:v1' },
    })
    const answer = () => kubectl.dryRun(JSON.stringify(refused)).then(() => 'allowed', String)
    // The API server goes on asking the old pods of the webhook until they have drained.
    await poll(async () => (await answer()).includes(DENIED), {
      deadlineMs: 90_000,
      what: 'the policy to be applied by the webhook',
    })

    await helm('rollback', '1')
    await ready(cluster)
    await stillRuns()
    // Without the policy, it is only not there.
    await poll(async () => (await answer()) === 'allowed', {
      deadlineMs: 90_000,
      what: 'the policy to be gone',
    })
  }
  await helm('uninstall')
  // Helm leaves the namespace that it made for a release.
  await cluster.runFor(90_000, 'delete', 'namespace', WEBHOOK_NAMESPACE, '--timeout=80s')
  await poll(
    async () => (await apiObjects(cluster)).join('\n') === inject('objectsBefore').join('\n'),
    { deadlineMs: 90_000, what: 'nothing of oras-csi to be left' },
  )
})
