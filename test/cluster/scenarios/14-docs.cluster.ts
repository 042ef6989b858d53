import { expect, inject, test } from 'vitest'
import { parse } from 'yaml'
import { block, textOf } from '../../docs/blocks.ts'
import { poll } from '../../support/poll.ts'
import { placesIn } from '../places.ts'
import { type DocReader, openDocReader } from '../support/doc-reader.ts'
import { DRIVER_NAMESPACE, ready, uninstall } from '../support/install.ts'
import { javaProgram } from '../support/java-program.ts'
import { createKubectl, type Kubectl } from '../support/kubectl.ts'
import { answerOf, deploymentReady, podObject, podReady, podsOf, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const TIMEOUT_MS = 900_000

// The scenarios before these took the installation away.
test('the pages lead a reader from installing to removing', { timeout: TIMEOUT_MS }, async () => {
  const places = placesIn(inject('clusterRoot'))
  const kubectl = createKubectl(places)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => uninstall(kubectl))
  const reader = stack.use(await openDocReader(places))

  expect(await reader.type(block('cluster/install'))).toContain('successfully rolled out')
  await ready(kubectl)
  expect(await reader.type(block('cluster/installed'))).toContain('csi.oras.land')
  {
    await using scenario = await openScenario('docs')
    await reader.type('kubectl config set-context --current --namespace docs')
    await firstArtifact(reader, scenario.kubectl)
    await recipes(reader, scenario.kubectl)
  }
  await poll(async () => (await reader.type(block('cluster/users'))) === 'none\n', {
    deadlineMs: 120_000,
    what: 'the pods with artifacts to be gone',
  })
  await reader.type(block('cluster/uninstall'))
  await purge(reader, kubectl)
})

test('the pages lead a reader who prefers Helm, too', { timeout: TIMEOUT_MS }, async () => {
  const places = placesIn(inject('clusterRoot'))
  const kubectl = createKubectl(places)
  await using reader = await openDocReader(places)
  const status = 'helm status oras-csi --namespace oras-csi'
  await reader.type(block('cluster/helm-install'))
  try {
    await ready(kubectl)
    await reader.type(block('cluster/helm-upgrade'))
    expect(await reader.type(status)).toContain('REVISION: 2')
    await reader.type(block('cluster/helm-rollback'))
    expect(await reader.type(status)).toContain('REVISION: 3')
    await ready(kubectl)
  } finally {
    await reader.type(block('cluster/helm-uninstall'))
  }
})

async function firstArtifact(reader: DocReader, kubectl: Kubectl): Promise<void> {
  await reader.type(block('cluster/first-push'))
  await reader.save('first.yaml', reader.own(block('cluster/first-deployment')))
  expect(await reader.type(block('cluster/first-preview'))).toContain('+')
  await reader.type(block('cluster/first-apply'))
  await answered(reader, block('cluster/first-answer'), 'Hello from an artifact')
  expect(await reader.type(block('cluster/first-look'))).toContain(reader.own('ghcr.io/acme/site'))
  expect(await reader.type(block('cluster/check'))).not.toBe('')
  expect(await reader.type(block('cluster/go-users'))).toContain('csi.oras.land')

  // An upgrade to what is there disturbs nothing.
  expect(await reader.type(block('cluster/upgrade'))).toContain('successfully rolled out')

  await reader.type(block('cluster/first-roll'))
  await answered(reader, block('cluster/first-again'), 'Hello again')
  await reader.type(block('cluster/roll'))
  const { spec } = await kubectl.get('deployment', 'first')
  expect(spec.template.metadata.annotations['oras.land/artifacts']).toContain('site:v1')

  expect(await reader.type(block('cluster/describe'))).toContain('csi.oras.land')
  expect(await reader.type(block('cluster/logs'))).toContain('oras-csi-driver')
  expect(await reader.type(block('cluster/cache'))).toContain(reader.own('ghcr.io/acme/site'))
  await reader.type(block('cluster/secret'))
  expect((await kubectl.get('secret', 'acme-pull')).type).toBe('kubernetes.io/dockerconfigjson')
  await byHandDenied(reader, kubectl)
  await reader.type(block('cluster/first-clean'))
}

async function answered(reader: DocReader, script: string, text: string): Promise<void> {
  await poll(
    // The container may not serve yet, and one that ends may still be asked.
    async () => (await reader.type(script).catch(() => '')).includes(text),
    { deadlineMs: 60_000, what: `"${text}" as the answer` },
  )
}

async function byHandDenied(reader: DocReader, kubectl: Kubectl): Promise<void> {
  await reader.save('policy.yaml', block('cluster/by-hand-denied'))
  await reader.type('kubectl apply -f policy.yaml')
  const volume = {
    name: 'by-hand',
    csi: {
      driver: 'csi.oras.land',
      readOnly: true,
      volumeAttributes: { 'oras.artifact.reference': reader.own('ghcr.io/acme/site:v1') },
    },
  }
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'by-hand' },
    spec: { containers: [{ name: 'web', image: 'busybox:1.35' }], volumes: [volume] },
  }
  try {
    // The API server takes up a new policy after a moment.
    await poll(
      async () => {
        const said = await kubectl.dryRun(JSON.stringify(pod)).catch(String)
        return said.includes('write oras.land/artifacts instead of a csi.oras.land volume')
      },
      { deadlineMs: 60_000, what: 'a volume by hand to be denied' },
    )
  } finally {
    await reader.type('kubectl delete -f policy.yaml')
  }
}

async function recipes(reader: DocReader, kubectl: Kubectl): Promise<void> {
  // recipes/java.md
  await reader.save('hello.jar', await javaProgram('hello.jar', '1.0'))
  await reader.type(textOf('oras/java'))
  await kubectl.apply(reader.own(textOf('composed/java')))
  await deploymentReady(kubectl, 'hello')
  for (const pod of await podsOf(kubectl, 'hello')) {
    expect(await answerOf(pod.status.podIP, 8080)).toBe('hello 1.0 on the first base')
  }

  // recipes/plug-ins.md
  const pushed = { 'plugins-base:3': ['a.jar', 'b.jar'], 'plugins-extra:1': ['b.jar', 'c.jar'] }
  for (const [name, files] of Object.entries(pushed)) {
    for (const file of files) await reader.save(file, `${file} of ${name}`)
    await reader.type(`oras push ghcr.io/acme/${name} ${files.join(' ')}`)
  }
  const annotations = parse(reader.own(textOf('composed/plug-ins')))
  await kubectl.apply([podObject('plug-ins', { annotations })])
  await podReady(kubectl, 'plug-ins')
  expect(await shellIn(kubectl, 'plug-ins', 'cd /opt/plugins && grep -h . *')).toBe(
    'a.jar of plugins-base:3\nb.jar of plugins-extra:1\nc.jar of plugins-extra:1\n',
  )

  // reference-attributes.md, with the secret of credentials.md
  await reader.save('index.html', '<p>by hand')
  await reader.type('oras push ghcr.io/acme/site:v3 index.html')
  await kubectl.apply(reader.own(textOf('composed/by-hand')))
  await podReady(kubectl, 'site')
  const { status } = await kubectl.get('pod', 'site')
  expect(await answerOf(status.podIP, 80)).toBe('<p>by hand')
}

async function purge(reader: DocReader, kubectl: Kubectl): Promise<void> {
  await reader.save('purge.yaml', reader.own(block('cluster/purge')))
  await poll(async () => (await kubectl.in(DRIVER_NAMESPACE).get('pods')).items.length === 0, {
    deadlineMs: 60_000,
    what: 'the driver to be gone',
  })
  await reader.type('kubectl apply -f purge.yaml')
  const system = kubectl.in('kube-system')
  try {
    const ended = await poll(
      async () => {
        const { status } = await system.get('pod', 'oras-csi-purge')
        return ['Succeeded', 'Failed'].includes(status.phase) && status.phase
      },
      { deadlineMs: 90_000, what: 'the purge to end' },
    )
    const said = await system.run('logs', 'oras-csi-purge')
    expect({ ended, said }).toEqual({
      ended: 'Succeeded',
      said: 'removed "/var/lib/kubelet/plugins/csi.oras.land/store"\n',
    })
  } finally {
    await system.runFor(60_000, 'delete', 'pod', 'oras-csi-purge', '--grace-period=1')
  }
}
