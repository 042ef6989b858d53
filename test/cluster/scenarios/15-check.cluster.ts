import { expect, inject, test } from 'vitest'
import { poll } from '../../support/poll.ts'
import { startProcess } from '../../support/process.ts'
import { NODE_NAME } from '../addresses.ts'
import { type Places, placesIn } from '../places.ts'
import {
  DRIVER_NAMESPACE,
  install,
  ready,
  uninstall,
  WEBHOOK_NAMESPACE,
} from '../support/install.ts'
import { createKubectl } from '../support/kubectl.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { podObject } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const MUTATING = 'mutatingwebhookconfiguration/oras-csi'
const INJECTION = 'cert-manager.io/inject-ca-from'

/** The scenario before this one took oras-csi from the cluster. */
test('oras-csi check finds nothing wrong after an installation, and then what is broken', {
  timeout: 900_000,
}, async () => {
  const places = placesIn(inject('clusterRoot'))
  const kubectl = createKubectl(places)
  const [webhook, driver] = [kubectl.in(WEBHOOK_NAMESPACE), kubectl.in(DRIVER_NAMESPACE)]
  await using stack = new AsyncDisposableStack()
  stack.defer(() => uninstall(kubectl))
  await install(kubectl)

  const healthy = await check(places, '--wait', '120s')
  expect(healthy.bad).toStrictEqual([])
  expect(healthy.code).toBe(0)
  const node = ['exec', 'daemonset/oras-csi-driver', '--', 'node', 'cli/main.ts', 'check', '--node']
  expect(await driver.runFor(60_000, ...node)).toContain('The driver answers on its admin socket')

  await webhook.run('scale', 'deployment/oras-csi-webhook', '--replicas=0')
  await finds(places, [
    'error: Deployment oras-csi/oras-csi-webhook has no replicas: every pod that wants artifacts is refused',
    'error: The API server gets no answer of the webhook: ',
  ])
  await webhook.run('scale', 'deployment/oras-csi-webhook', '--replicas=2')
  await ready(kubectl)
  await finds(places, [])

  // Without its annotation, or cert-manager puts the bundle back at once.
  await patch('remove', `/metadata/annotations/${INJECTION.replace('/', '~1')}`)
  await patch('replace', '/webhooks/0/clientConfig/caBundle', '')
  await finds(places, [
    'error: MutatingWebhookConfiguration oras-csi has no CA bundle: the API server does not trust the webhook and refuses every pod that wants artifacts',
    'error: The API server gets no answer of the webhook: ',
  ])
  const from = `${WEBHOOK_NAMESPACE}/oras-csi-webhook`
  await kubectl.run('annotate', MUTATING, `${INJECTION}=${from}`)
  await ready(kubectl)
  await finds(places, [])

  await selectNodes({ 'oras.land/no-such-node': 'true' })
  await finds(places, [
    'error: DaemonSet oras-csi-node/oras-csi-driver is for no node at all: its nodeSelector or affinity fits none',
    `warning: The driver's nodeSelector leaves out ${NODE_NAME}: pods with artifacts cannot start there`,
  ])
  await selectNodes({ 'oras.land/no-such-node': null })
  await ready(kubectl)
  await finds(places, [])

  await using _ = await startNodeRegistry('ghcr.io')
  await using scenario = await openScenario('check')
  const annotations = { 'oras.land/artifacts': '/app: ghcr.io/acme/absent:v1' }
  await scenario.kubectl.apply([podObject('stuck', { annotations })])
  await finds(places, [
    'error: Pod check/stuck waits for its artifacts: Cannot pull "ghcr.io/acme/absent:v1": registry has no ',
  ])

  async function patch(op: string, path: string, value?: string): Promise<void> {
    await kubectl.run('patch', MUTATING, '--type=json', '-p', JSON.stringify([{ op, path, value }]))
  }

  async function selectNodes(nodeSelector: Readonly<Record<string, string | null>>) {
    const change = JSON.stringify({ spec: { template: { spec: { nodeSelector } } } })
    await driver.run('patch', 'daemonset/oras-csi-driver', '--type=merge', '-p', change)
  }
})

interface Checked {
  readonly code: number | null
  /** `error: MESSAGE`, `warning: MESSAGE` */
  readonly bad: readonly string[]
}

async function check(places: Places, ...flags: readonly string[]): Promise<Checked> {
  const kubeconfig = ['--kubeconfig', places.kubeconfig, '--output', 'json']
  await using cli = startProcess({ args: ['cli/main.ts', 'check', ...kubeconfig, ...flags] })
  const { code } = await cli.exited
  const text = cli.lines.filter(({ stream }) => stream === 'stdout').map((line) => line.text)
  if (code === 2 || code === null) throw new Error(cli.output())
  const groups: {
    readonly findings: readonly { readonly severity: string; readonly message: string }[]
  }[] = JSON.parse(text.join('\n')).groups
  const findings = groups.flatMap((group) => group.findings)
  const bad = findings.filter(({ severity }) => severity !== 'ok')
  return { code, bad: bad.map(({ severity, message }) => `${severity}: ${message}`) }
}

/** Checks until this is found and nothing else: the kubelet, the API server and controllers take a moment. */
async function finds(places: Places, starts: readonly string[]): Promise<void> {
  let last: Checked = { code: null, bad: [] }
  try {
    await poll(
      async () => {
        last = await check(places)
        const { bad } = last
        return bad.length === starts.length && starts.every((start, i) => bad[i]?.startsWith(start))
      },
      { deadlineMs: 120_000, what: 'the check to find it' },
    )
  } catch (error) {
    throw new Error(`Expected ${JSON.stringify(starts)}, found ${JSON.stringify(last.bad)}`, {
      cause: error,
    })
  }
  expect(last.code).toBe(starts.some((start) => start.startsWith('error')) ? 1 : 0)
}
