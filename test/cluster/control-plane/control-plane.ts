import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { poll } from '../../support/poll.ts'
import { ADDRESSES, PORTS } from '../addresses.ts'
import { startDaemon } from '../daemon.ts'
import type { Places } from '../places.ts'
import { createKubectl } from '../support/kubectl.ts'
import { kubeconfigOf } from './pki.ts'

/** Starts etcd and the API server, and waits until it is ready. */
export async function startApiServer(places: Places, bin: string): Promise<void> {
  const data = places.file('etcd')
  await mkdir(data, { recursive: true, mode: 0o700 })
  const client = `http://127.0.0.1:${PORTS.etcdClient}`
  const peer = `http://127.0.0.1:${PORTS.etcdPeer}`
  await startDaemon(places, {
    name: 'etcd',
    command: '/usr/bin/etcd',
    args: [
      '--name=oras-csi',
      `--data-dir=${data}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=oras-csi=${peer}`,
      // Nothing of it has to survive a power cut.
      '--unsafe-no-fsync',
    ],
  })
  await poll(async () => (await fetch(`${client}/health`)).ok, {
    deadlineMs: 30_000,
    what: 'etcd',
  })
  await startDaemon(places, {
    name: 'kube-apiserver',
    command: join(bin, 'kube-apiserver'),
    args: apiServerArguments(places, client),
  })
  const kubectl = createKubectl(places)
  await poll(() => kubectl.run('get', '--raw', '/readyz'), {
    deadlineMs: 90_000,
    what: 'the API server',
  })
}

/** Starts what turns Deployments into pods, and gives pods a node. */
export async function startControllers(places: Places, bin: string): Promise<void> {
  for (const name of ['kube-controller-manager', 'kube-scheduler'] as const) {
    const kubeconfig = kubeconfigOf(places, name)
    await startDaemon(places, {
      name,
      command: join(bin, name),
      args: [
        `--kubeconfig=${kubeconfig}`,
        `--authentication-kubeconfig=${kubeconfig}`,
        `--authorization-kubeconfig=${kubeconfig}`,
        '--bind-address=127.0.0.1',
        '--leader-elect=false',
        ...(name === 'kube-scheduler' ? [] : controllerArguments(places)),
      ],
    })
  }
}

function apiServerArguments({ pki }: Places, etcd: string): readonly string[] {
  return [
    `--etcd-servers=${etcd}`,
    `--bind-address=${ADDRESSES.apiServer}`,
    `--advertise-address=${ADDRESSES.apiServer}`,
    `--secure-port=${PORTS.apiServer}`,
    `--service-cluster-ip-range=${ADDRESSES.services}`,
    `--tls-cert-file=${pki}/api-server.crt`,
    `--tls-private-key-file=${pki}/api-server.key`,
    `--client-ca-file=${pki}/ca.crt`,
    `--kubelet-certificate-authority=${pki}/ca.crt`,
    `--kubelet-client-certificate=${pki}/api-server-as-client.crt`,
    `--kubelet-client-key=${pki}/api-server-as-client.key`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${pki}/service-accounts.pub`,
    `--service-account-signing-key-file=${pki}/service-accounts.key`,
    `--requestheader-client-ca-file=${pki}/ca.crt`,
    '--requestheader-allowed-names=front-proxy',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${pki}/front-proxy.crt`,
    `--proxy-client-key-file=${pki}/front-proxy.key`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    // Webhooks are reached at their endpoints: there is no kube-proxy that would serve a service's address.
    '--enable-aggregator-routing=true',
  ]
}

function controllerArguments({ pki }: Places): readonly string[] {
  return [
    '--use-service-account-credentials=true',
    `--service-account-private-key-file=${pki}/service-accounts.key`,
    `--root-ca-file=${pki}/ca.crt`,
    `--client-ca-file=${pki}/ca.crt`,
    `--requestheader-client-ca-file=${pki}/ca.crt`,
  ]
}
