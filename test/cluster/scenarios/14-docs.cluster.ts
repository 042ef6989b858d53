import { copyFile, symlink, writeFile } from 'node:fs/promises'
import { expect, inject, test } from 'vitest'
import { block } from '../../docs/blocks.ts'
import { openShell, orasScript, quoted, type Shell } from '../../docs/shell.ts'
import { buildGoProgram } from '../../peers/go-program.ts'
import { poll } from '../../support/poll.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { NODE_NAME } from '../addresses.ts'
import { LOCAL_REGISTRY, startLocalRegistry, stopLocalRegistry } from '../node/local-registry.ts'
import { placesIn } from '../places.ts'
import { DRIVER_NAMESPACE, ready, uninstall } from '../support/install.ts'
import { createKubectl, type Kubectl } from '../support/kubectl.ts'
import { openScenario } from '../support/scenario.ts'

const MANIFESTS = new URL('../../../manifests', import.meta.url).pathname
const NAMESPACE = 'docs'
/** What the shipped manifests run. */
const IMAGE = 'ghcr.io/oras-csi/oras-csi:0.1.0'

test('the pages lead a reader from installing to removing', { timeout: 900_000 }, async () => {
  const places = placesIn(inject('clusterRoot'))
  const kubectl = createKubectl(places)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => uninstall(kubectl))
  const directory = stack.use(await temporaryDirectory())
  stack.defer(() => stopLocalRegistry(places))
  await startLocalRegistry(places)
  const kubeconfig = directory.file('kubeconfig')
  await copyFile(places.kubeconfig, kubeconfig)
  const shell = await openShell(directory, {
    programs: {
      oras: orasScript(await buildGoProgram('oras-go')),
      kubectl: `exec ${quoted(`${places.bin}/kubectl`)} "$@"`,
    },
    env: { KUBECONFIG: kubeconfig },
    timeoutMs: 400_000,
  })
  await symlink(MANIFESTS, `${shell.cwd}/manifests`)
  const reader = createReader(shell)

  // install.md
  expect(await reader.type(block('cluster/install'))).toContain('successfully rolled out')
  await ready(kubectl)
  expect(await reader.type(block('cluster/installed'))).toContain('csi.oras.land')

  // first-artifact.md, in a namespace of its own
  {
    await using scenario = await openScenario(NAMESPACE)
    await shell.type(`kubectl config set-context --current --namespace ${NAMESPACE}`)
    await firstArtifact(reader, scenario.kubectl)
  }

  // install.md again
  await poll(async () => (await reader.type(block('cluster/users'))) === 'none\n', {
    deadlineMs: 120_000,
    what: 'the pods with artifacts to be gone',
  })
  await reader.type(block('cluster/uninstall'))
  await purge(reader, kubectl)
})

/** Somebody who types what the pages say, with a registry of his own. */
interface Reader {
  /** Gives the standard output. */
  type(script: string): Promise<string>
  save(file: string, text: string): Promise<void>
}

function createReader(shell: Shell): Reader {
  const own = (text: string) =>
    text
      .replaceAll('ghcr.io/acme', `${LOCAL_REGISTRY}/acme`)
      .replaceAll('registry.example.com/oras-csi:0.1.0', IMAGE)
      .replaceAll('nodeName: NODE', `nodeName: ${NODE_NAME}`)
  return {
    type: async (script) => (await shell.type(own(script))).stdout,
    save: (file, text) => writeFile(`${shell.cwd}/${file}`, own(text)),
  }
}

async function firstArtifact(reader: Reader, kubectl: Kubectl): Promise<void> {
  await reader.type(block('cluster/first-push'))
  await reader.save('first.yaml', block('cluster/first-deployment'))
  expect(await reader.type(block('cluster/first-preview'))).toContain('+')
  await reader.type(block('cluster/first-apply'))
  await answered(reader, block('cluster/first-answer'), 'Hello from an artifact')
  expect(await reader.type(block('cluster/first-look'))).toContain(`${LOCAL_REGISTRY}/acme/site`)
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
  expect(await reader.type(block('cluster/cache'))).toContain(`${LOCAL_REGISTRY}/acme/site`)
  await reader.type(block('cluster/secret'))
  expect((await kubectl.get('secret', 'acme-pull')).type).toBe('kubernetes.io/dockerconfigjson')
  await byHandDenied(reader, kubectl)
  await reader.type(block('cluster/first-clean'))
}

async function answered(reader: Reader, script: string, text: string): Promise<void> {
  await poll(
    // The container may not serve yet, and one that ends may still be asked.
    async () => (await reader.type(script).catch(() => '')).includes(text),
    { deadlineMs: 60_000, what: `"${text}" as the answer` },
  )
}

async function byHandDenied(reader: Reader, kubectl: Kubectl): Promise<void> {
  await reader.save('policy.yaml', block('cluster/by-hand-denied'))
  await reader.type('kubectl apply -f policy.yaml')
  const volume = {
    name: 'by-hand',
    csi: {
      driver: 'csi.oras.land',
      readOnly: true,
      volumeAttributes: { 'oras.artifact.reference': `${LOCAL_REGISTRY}/acme/site:v1` },
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

async function purge(reader: Reader, kubectl: Kubectl): Promise<void> {
  await reader.save('purge.yaml', block('cluster/purge'))
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
