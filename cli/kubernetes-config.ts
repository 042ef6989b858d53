import { access, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import type { KubeConfig } from '@kubernetes/client-node'
import { CodedError, isSystemError, messageOf } from '../common/errors.ts'
import { ACCOUNT_DIRECTORY } from '../common/kubernetes/service-account.ts'
import { didYouMean } from '../common/suggest.ts'
import { isJsonObject, isTrueAt, objectsAt } from '../webhook/json.ts'
import { printable } from './printable.ts'

/** Which cluster is meant, as with kubectl. */
export interface KubernetesChoice {
  /** A kubeconfig; default the files of `$KUBECONFIG`, `~/.kube/config`, or the pod's service account. */
  readonly kubeconfig?: string
  /** Default the kubeconfig's current one. */
  readonly context?: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * Reads whom a person calls and as whom, the way kubectl does: several files are merged, the first that names something counts.
 *
 * The official client, for the sake of its ways to log in (exec plug-ins, client certificates, OIDC). It takes 60 MB of memory and up to
 * two seconds to load, so it is loaded here and by nothing else.
 *
 * @throws NOT_FOUND when there is no configuration, INVALID for one that cannot be read or has no such context
 */
export async function readKubeConfig(choice: KubernetesChoice): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  const paths = await configPaths(choice)
  if (paths === undefined) config.loadFromCluster()
  else mergeFiles(config, paths, () => new KubeConfig())
  if (choice.context !== undefined) config.setCurrentContext(choice.context)
  checkContext(config, paths)
  withPlainHttp(config)
  await withExecInfo(config)
  return config
}

/** @returns undefined for the service account of a pod */
async function configPaths(choice: KubernetesChoice): Promise<readonly string[] | undefined> {
  const { kubeconfig, env } = choice
  if (kubeconfig !== undefined) return [kubeconfig]
  const named = env['KUBECONFIG']?.split(delimiter).filter((path) => path !== '') ?? []
  const usual = env['HOME'] === undefined ? [] : [join(env['HOME'], '.kube', 'config')]
  const wanted = named.length > 0 ? named : usual
  const present = await Promise.all(wanted.map(isThere))
  const paths = wanted.filter((_, index) => present[index])
  if (paths.length > 0) return paths
  if (env['KUBERNETES_SERVICE_HOST'] && (await isThere(join(ACCOUNT_DIRECTORY, 'token')))) {
    return undefined
  }
  const looked = wanted.length === 0 ? '$KUBECONFIG and ~/.kube/config' : wanted.join(', ')
  throw new CodedError(
    'NOT_FOUND',
    `There is no kubeconfig at ${printable(looked)}: name one with --kubeconfig`,
  )
}

function mergeFiles(config: KubeConfig, paths: readonly string[], create: () => KubeConfig): void {
  for (const path of paths) {
    const one = create()
    try {
      one.loadFromFile(path)
    } catch (cause) {
      const code = isSystemError(cause, 'ENOENT', 'ENOTDIR') ? 'NOT_FOUND' : 'INVALID'
      throw new CodedError(
        code,
        `Cannot read the kubeconfig "${printable(path)}": ${printable(messageOf(cause))}`,
        { cause },
      )
    }
    config.loadFromOptions({
      clusters: firstByName(config.clusters, one.clusters),
      users: firstByName(config.users, one.users),
      contexts: firstByName(config.contexts, one.contexts),
      currentContext: config.currentContext || one.currentContext,
    })
  }
}

function firstByName<T extends { readonly name: string }>(
  before: readonly T[],
  next: readonly T[],
): readonly T[] {
  return [...before, ...next.filter(({ name }) => !before.some((one) => one.name === name))]
}

function checkContext(config: KubeConfig, paths: readonly string[] | undefined): void {
  const name = config.getCurrentContext()
  const file = printable(paths?.join(', ') ?? 'the service account')
  if (!name) {
    throw new CodedError(
      'INVALID',
      `${file} names no current context: name one with --context, or run: kubectl config use-context NAME`,
    )
  }
  const names = config.getContexts().map((one) => one.name)
  if (!names.includes(name)) {
    throw new CodedError(
      'INVALID',
      printable(
        `There is no context "${name}" in ${file}${didYouMean(name, names)} (kubectl config get-contexts lists them)`,
      ),
    )
  }
  if (!config.getCurrentCluster()?.server) {
    throw new CodedError(
      'INVALID',
      printable(`The context "${name}" in ${file} names a cluster without a server`),
    )
  }
}

/** The client refuses plain HTTP, which `kubectl proxy` speaks, unless it is told not to verify. */
function withPlainHttp(config: KubeConfig): void {
  config.clusters = config.clusters.map((cluster) =>
    cluster.server?.startsWith('http:') ? { ...cluster, skipTLSVerify: true } : cluster,
  )
}

/**
 * Tells exec plug-ins what kubectl tells them, which the client leaves out: some will not work without.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#input-and-output-formats
 */
async function withExecInfo(config: KubeConfig): Promise<void> {
  const cluster = config.getCurrentCluster()
  const authority = cluster?.caData ?? (await readAuthority(cluster?.caFile))
  config.users = config.users.map((user) => {
    const exec: unknown = user.exec
    if (!isJsonObject(exec)) return user
    const info = {
      ...{ kind: 'ExecCredential', apiVersion: exec['apiVersion'] },
      spec: {
        interactive: false,
        ...(isTrueAt(exec, 'provideClusterInfo') && {
          cluster: {
            server: cluster?.server,
            'tls-server-name': cluster?.tlsServerName,
            'insecure-skip-tls-verify': cluster?.skipTLSVerify,
            'certificate-authority-data': authority,
          },
        }),
      },
    }
    const env = [
      ...objectsAt(exec, 'env'),
      { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) },
    ]
    return { ...user, exec: { ...exec, env } }
  })
}

async function readAuthority(path: string | undefined): Promise<string | undefined> {
  if (!path) return undefined
  try {
    return await readFile(path, 'base64')
  } catch (cause) {
    throw new CodedError(
      'INVALID',
      printable(`Cannot read the certificate-authority of the kubeconfig: ${messageOf(cause)}`),
      { cause },
    )
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false
    throw error
  }
}
