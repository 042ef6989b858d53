import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { poll } from '../../support/poll.ts'
import { ADDRESSES, PORTS } from '../addresses.ts'
import { startDaemon } from '../daemon.ts'
import { buildGoTools, sourceOfModule } from '../parts/go-tools.ts'
import type { Places } from '../places.ts'
import { createKubectl } from '../support/kubectl.ts'

const NAMESPACE = 'cert-manager'
const WEBHOOK = 'cert-manager-webhook'
const WEBHOOK_HOST = `${WEBHOOK}.${NAMESPACE}.svc`

/**
 * Starts cert-manager: its three programs as processes on the node, where the API server finds the webhook by the endpoints of a
 * Service. Its resource definitions come from its module, its other objects are those of its chart.
 *
 * @see https://github.com/cert-manager/cert-manager/tree/v1.11.5/deploy/charts/cert-manager
 */
export async function startCertManager(places: Places): Promise<void> {
  const bin = await buildGoTools('cert-manager')
  const injector = await buildGoTools('cainjector')
  const kubectl = createKubectl(places)
  await kubectl.apply(await resourceDefinitions())
  await kubectl.apply(webhookObjects())
  const kubeconfig = `--kubeconfig=${places.kubeconfig}`
  const start = (name: string, ...args: readonly string[]) =>
    startDaemon(places, {
      name: `cert-manager-${name}`,
      command: join(name === 'cainjector' ? injector : bin, name),
      args: [kubeconfig, ...args],
    })
  await start('controller', '--leader-elect=false', '--metrics-listen-address=127.0.0.1:0')
  await start('cainjector')
  await start(
    'webhook',
    `--secure-port=${PORTS.certManagerWebhook}`,
    `--healthz-port=${PORTS.certManagerWebhookHealth}`,
    `--dynamic-serving-ca-secret-namespace=${NAMESPACE}`,
    `--dynamic-serving-ca-secret-name=${WEBHOOK}-ca`,
    `--dynamic-serving-dns-names=${WEBHOOK_HOST}`,
  )
  // As cmctl does: it is ready when the API server lets an issuer pass.
  await poll(() => kubectl.run('create', '--dry-run=server', '-f', ISSUER), {
    deadlineMs: 90_000,
    what: "cert-manager's webhook",
  })
}

const ISSUER = new URL('probe-issuer.yaml', import.meta.url).pathname

/** The chart's templates have nothing but labels to fill in. */
async function resourceDefinitions(): Promise<string> {
  const directory = join(await sourceOfModule('cert-manager'), 'deploy/crds')
  const files = (await readdir(directory)).filter((name) => name.endsWith('.yaml'))
  const texts = await Promise.all(files.map((name) => readFile(join(directory, name), 'utf8')))
  return texts.map((text) => text.replace(/\{\{.*?\}\}/g, 'cert-manager')).join('\n---\n')
}

function webhookObjects(): readonly object[] {
  const metadata = { name: WEBHOOK, namespace: NAMESPACE }
  const webhook = (path: string) => ({
    name: 'webhook.cert-manager.io',
    rules: [
      {
        apiGroups: ['cert-manager.io', 'acme.cert-manager.io'],
        apiVersions: ['v1'],
        operations: ['CREATE', 'UPDATE'],
        resources: ['*/*'],
      },
    ],
    admissionReviewVersions: ['v1'],
    matchPolicy: 'Equivalent',
    timeoutSeconds: 10,
    failurePolicy: 'Fail',
    sideEffects: 'None',
    clientConfig: { service: { name: WEBHOOK, namespace: NAMESPACE, path } },
  })
  const configuration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    metadata: {
      name: WEBHOOK,
      annotations: { 'cert-manager.io/inject-ca-from-secret': `${NAMESPACE}/${WEBHOOK}-ca` },
    },
  }
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { ports: [{ port: 443, targetPort: PORTS.certManagerWebhook }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': WEBHOOK } },
      addressType: 'IPv4',
      ports: [{ name: '', port: PORTS.certManagerWebhook, protocol: 'TCP' }],
      endpoints: [{ addresses: [ADDRESSES.node], conditions: { ready: true } }],
    },
    { ...configuration, kind: 'MutatingWebhookConfiguration', webhooks: [webhook('/mutate')] },
    { ...configuration, kind: 'ValidatingWebhookConfiguration', webhooks: [webhook('/validate')] },
  ]
}
