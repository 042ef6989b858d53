import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createPki } from '../cluster/control-plane/pki.ts'
import { buildGoTools } from '../cluster/parts/go-tools.ts'
import { type Places, placesIn } from '../cluster/places.ts'
import { createKubectl, type Kubectl } from '../cluster/support/kubectl.ts'
import { poll } from '../support/poll.ts'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** A kube-apiserver with its etcd and nothing else: what is created stays as it is. Disposing ends both and removes what they wrote. */
export interface KubernetesApi extends AsyncDisposable {
  readonly url: string
  /** PEM file with the authority of its certificate. */
  readonly caFile: string
  /** Its admin's. */
  readonly kubeconfig: string
  /** As its admin. */
  readonly kubectl: Kubectl
}

/** Of `addresses.ts`: no program asks for it here. */
const ADVERTISED = '10.96.0.1'
const READY_MS = 120_000

/**
 * Starts a real API server on free ports of the loopback address. Nodes and controllers are missing, so no pod ever runs.
 *
 * @throws when one of the two does not start, with what it wrote
 */
export async function startKubernetesApi(): Promise<KubernetesApi> {
  const bin = await buildGoTools('kubernetes-1.36')
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const places = placesIn(directory.path)
  await createPki(places)
  const [etcdPort, peerPort, port] = [await freePort(), await freePort(), await freePort()]
  const etcd = `http://127.0.0.1:${etcdPort}`
  const etcdProcess = stack.use(
    startProcess({
      command: 'etcd',
      args: etcdArguments(places, etcd, `http://127.0.0.1:${peerPort}`),
    }),
  )
  await poll(async () => (await fetch(`${etcd}/health`)).ok, {
    deadlineMs: READY_MS,
    what: 'etcd',
  }).catch((cause) => {
    throw new Error(etcdProcess.output().slice(-4000), { cause })
  })
  const apiServer = stack.use(
    startProcess({
      command: join(bin, 'kube-apiserver'),
      args: apiServerArguments(places, etcd, port),
    }),
  )
  const url = `https://127.0.0.1:${port}`
  const kubeconfig = await adminKubeconfig(places, url)
  const kubectl = createKubectl({ ...places, bin, kubeconfig })
  await poll(() => kubectl.run('get', '--raw', '/readyz'), {
    deadlineMs: READY_MS,
    what: 'the API server',
  }).catch((cause) => {
    throw new Error(apiServer.output().slice(-4000), { cause })
  })
  const running = stack.move()
  return {
    url,
    caFile: join(places.pki, 'ca.crt'),
    kubeconfig,
    kubectl,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function etcdArguments(places: Places, client: string, peer: string): readonly string[] {
  return [
    '--name=alone',
    `--data-dir=${places.file('etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=alone=${peer}`,
    '--unsafe-no-fsync',
  ]
}

function apiServerArguments({ pki }: Places, etcd: string, port: number): readonly string[] {
  return [
    `--etcd-servers=${etcd}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--advertise-address=${ADVERTISED}`,
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.96.0.0/16',
    `--tls-cert-file=${pki}/api-server.crt`,
    `--tls-private-key-file=${pki}/api-server.key`,
    `--client-ca-file=${pki}/ca.crt`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${pki}/service-accounts.pub`,
    `--service-account-signing-key-file=${pki}/service-accounts.key`,
    '--authorization-mode=RBAC',
    // There is no controller that would make the account "default" of a namespace.
    '--disable-admission-plugins=ServiceAccount',
    '--allow-privileged=true',
    // Webhooks are reached at their endpoints: nobody serves a service's address.
    '--enable-aggregator-routing=true',
  ]
}

async function adminKubeconfig(places: Places, server: string): Promise<string> {
  const path = places.file('alone.kubeconfig')
  const config: { clusters: [{ cluster: { server: string } }] } = JSON.parse(
    await readFile(places.kubeconfig, 'utf8'),
  )
  config.clusters[0].cluster.server = server
  await writeFile(path, JSON.stringify(config))
  return path
}

/** A port that was free a moment ago: neither program takes port 0. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('No port')
  return address.port
}
