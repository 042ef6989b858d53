import { generateKeyPairSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type CertificateAuthority,
  createCertificateAuthority,
} from '../../support/certificates.ts'
import { ADDRESSES, NODE_NAME, PORTS } from '../addresses.ts'
import type { Places } from '../places.ts'

/** What API clients call themselves: the names RBAC's built-in roles know. */
const CLIENTS = {
  admin: 'admin,O=system:masters',
  'kube-controller-manager': 'system:kube-controller-manager',
  'kube-scheduler': 'system:kube-scheduler',
  kubelet: `system:node:${NODE_NAME},O=system:nodes`,
} as const

/** A component that talks to the API server, and so has a kubeconfig. */
export type ApiClient = keyof typeof CLIENTS

/**
 * Makes an authority, and what it certifies: the servers, and a kubeconfig for each client. They are valid for a day, as the cluster
 * is not made for longer.
 */
export async function createPki(places: Places): Promise<void> {
  await mkdir(places.pki, { recursive: true, mode: 0o700 })
  const authority = await createCertificateAuthority('oras-csi test cluster')
  await writeFile(join(places.pki, 'ca.crt'), authority.cert)
  const { node, apiServer } = ADDRESSES
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc']
  await issue(places, authority, 'api-server', 'kube-apiserver', [
    ...service,
    'localhost',
    '127.0.0.1',
    node,
    apiServer,
  ])
  await issue(places, authority, 'kubelet-server', `kubelet of ${NODE_NAME}`, [NODE_NAME, node])
  await issue(places, authority, 'api-server-as-client', 'kube-apiserver,O=system:masters', ['api'])
  await issue(places, authority, 'front-proxy', 'front-proxy', ['front-proxy'])
  for (const [client, name] of Object.entries(CLIENTS)) {
    await issue(places, authority, client, name, [client])
    await writeKubeconfig(places, client)
  }
  const serviceAccounts = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = { format: 'pem' } as const
  const privateKey = serviceAccounts.privateKey.export({ ...pem, type: 'pkcs8' })
  const publicKey = serviceAccounts.publicKey.export({ ...pem, type: 'spki' })
  await writeFile(join(places.pki, 'service-accounts.key'), privateKey)
  await writeFile(join(places.pki, 'service-accounts.pub'), publicKey)
}

/** Where the kubeconfig of a client is. */
export function kubeconfigOf(places: Places, client: ApiClient): string {
  return join(places.pki, `${client}.kubeconfig`)
}

async function issue(
  places: Places,
  authority: CertificateAuthority,
  file: string,
  commonName: string,
  names: readonly string[],
): Promise<void> {
  const { cert, key } = await authority.issue({ names, commonName })
  await writeFile(join(places.pki, `${file}.crt`), cert)
  await writeFile(join(places.pki, `${file}.key`), key, { mode: 0o600 })
}

async function writeKubeconfig(places: Places, client: string): Promise<void> {
  const server = `https://${ADDRESSES.apiServer}:${PORTS.apiServer}`
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'oras-csi',
        cluster: { server, 'certificate-authority': join(places.pki, 'ca.crt') },
      },
    ],
    users: [
      {
        name: client,
        user: {
          'client-certificate': join(places.pki, `${client}.crt`),
          'client-key': join(places.pki, `${client}.key`),
        },
      },
    ],
    contexts: [{ name: 'oras-csi', context: { cluster: 'oras-csi', user: client } }],
    'current-context': 'oras-csi',
  }
  // JSON is YAML.
  await writeFile(join(places.pki, `${client}.kubeconfig`), JSON.stringify(config, undefined, 2))
}
