import { access, readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { CodedError, messageOf } from '../errors.ts'

/** Where Kubernetes puts a pod's service account. @see https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
export const ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Where the API server is, and where stands who asks it, as Kubernetes tells each pod. */
export interface ServiceAccount {
  /** e.g. `https://10.96.0.1:443` */
  readonly url: string
  /** Holds `token`, which the kubelet replaces before it expires, and `ca.crt`. */
  readonly directory: string
}

/** What a call to the API server is made with. */
export interface ServiceAccountFiles {
  readonly token: string
  /** PEM. */
  readonly ca: string
}

/**
 * Finds out how this process may call the API server.
 *
 * @throws NOT_FOUND saying what is missing: outside a cluster, or in a pod without a token
 */
export async function findServiceAccount(options: {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly directory: string
}): Promise<ServiceAccount> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = options.env
  if (!host || !port) {
    throw new CodedError(
      'NOT_FOUND',
      'Not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set',
    )
  }
  try {
    for (const name of ['token', 'ca.crt']) await access(join(options.directory, name))
  } catch (cause) {
    throw new CodedError(
      'NOT_FOUND',
      `No service account in "${options.directory}"; expected "token" and "ca.crt", as automountServiceAccountToken: true brings them`,
      { cause },
    )
  }
  const name = isIPv6(host) ? `[${host}]` : host
  return { url: `https://${name}:${port}`, directory: options.directory }
}

/** Reads the files as they are now. @throws UNAVAILABLE naming the directory */
export async function readServiceAccount(directory: string): Promise<ServiceAccountFiles> {
  try {
    const token = await readFile(join(directory, 'token'), 'utf8')
    const ca = await readFile(join(directory, 'ca.crt'), 'utf8')
    return { token: token.trim(), ca }
  } catch (cause) {
    throw new CodedError(
      'UNAVAILABLE',
      `Cannot read the service account in "${directory}": ${messageOf(cause)}`,
      { cause },
    )
  }
}
