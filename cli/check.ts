import { setTimeout as sleep } from 'node:timers/promises'
import { DRIVER_NAME } from '../common/composition/composition.ts'
import { CodedError, isCodedError } from '../common/errors.ts'
import { bool, durationMs, oneOf, optional, text } from '../common/flags.ts'
import { packageVersion } from '../common/package-version.ts'
import { checkCluster } from './check-cluster.ts'
import { type CheckGroup, countFindings, formatCheck } from './check-text.ts'
import { createCommand, type Io } from './command.ts'
import { openKubernetes } from './kubernetes-client.ts'
import { openSnapshot } from './kubernetes-snapshot.ts'
import { printableJson } from './printable.ts'

const FLAGS = {
  context: {
    ...{ value: 'NAME', default: '', parse: optional(text) },
    doc: 'of the kubeconfig; default its current one',
  },
  kubeconfig: {
    ...{ value: 'FILE', default: '', parse: optional(text) },
    doc: "default as kubectl's: $KUBECONFIG, ~/.kube/config, or the pod's account",
  },
  namespace: {
    ...{ value: 'NAME', short: 'n', default: '', parse: optional(text) },
    doc: 'whose pods and workloads are looked at; default all',
  },
  output: {
    ...{ value: 'FORMAT', short: 'o', default: 'text', parse: oneOf(['text', 'json']) },
    doc: 'text or json',
  },
  wait: {
    ...{ value: 'DURATION', default: '0s', parse: durationMs },
    doc: 'check again for as long as there are errors, e.g. 5m after an installation',
  },
  node: {
    doc: "look at this node instead of the cluster: in the driver's pod, or as root on the node",
    parse: bool,
  },
  'hosts-directory': {
    ...{ value: 'DIRECTORY', default: '/etc/containerd/certs.d', parse: text },
    doc: "with --node: the driver's --hosts-directory",
  },
  'store-directory': {
    ...{ value: 'DIRECTORY', parse: text },
    doc: "with --node: the driver's --store-directory",
    default: `/var/lib/kubelet/plugins/${DRIVER_NAME}/store`,
  },
} as const

const ABOUT = `Reads, and changes nothing. One pod is sent through admission without being kept (dryRun=All), which proves that the API server
reaches the webhook and trusts it. What you have no right to see is a warning.

On a node: kubectl -n oras-csi-node exec ds/oras-csi-driver -- node cli/main.ts check --node

Exit code 1 when there are errors, 0 when there are none or only warnings, 2 when it could not be asked.`

/** Between two looks of `--wait`: what is waited for takes minutes. */
const AGAIN_MS = 2_000

/** Finds out whether an installation is well, and says what to do where it is not. */
export const check = createCommand({
  summary: 'find out whether the installation on a cluster is well, and what to do if not',
  usage: 'oras-csi check [FLAGS]',
  about: ABOUT,
  flags: FLAGS,
  async run(values, _, io) {
    const look = values.node ? await nodeLook(values, io) : await clusterLook(values, io)
    const groups = await lookUntilWell(look, values.wait, io)
    const counts = countFindings(groups)
    const colour = io.isTerminal && !io.env['NO_COLOR']
    io.stdout(
      values.output === 'json'
        ? `${printableJson(JSON.stringify({ counts, groups }, undefined, 2))}\n`
        : formatCheck(groups, colour),
    )
    return counts.error === 0 ? 0 : 1
  },
})

type Look = () => Promise<readonly CheckGroup[]>

async function clusterLook(
  values: {
    readonly context: string | undefined
    readonly kubeconfig: string | undefined
    readonly namespace: string | undefined
  },
  io: Io,
): Promise<Look> {
  const { context, kubeconfig, namespace } = values
  const client = await openKubernetes({
    ...{ env: io.env, signal: io.interrupted },
    ...(context !== undefined && { context }),
    ...(kubeconfig !== undefined && { kubeconfig }),
  })
  const version = packageVersion(import.meta.dirname)
  return () =>
    checkCluster({
      ...{ view: openSnapshot(client), now: new Date(), version },
      ...(namespace !== undefined && { namespace }),
    })
}

async function nodeLook(
  values: { readonly 'hosts-directory': string; readonly 'store-directory': string },
  io: Io,
): Promise<Look> {
  const { checkNode } = await import('./check-node.ts')
  const places = { hosts: values['hosts-directory'], store: values['store-directory'] }
  return () => checkNode(places, io.interrupted)
}

/** Gives what was seen last. An API server that is away for a moment is what one waits for, too. */
async function lookUntilWell(
  look: Look,
  waitMs: number,
  { interrupted }: Io,
): Promise<readonly CheckGroup[]> {
  const endMs = performance.now() + waitMs
  for (;;) {
    const last = performance.now() >= endMs
    const seen = await look().catch((error: unknown) => {
      if (last || !isCodedError(error, 'UNAVAILABLE') || interrupted.aborted) throw error
      return undefined
    })
    if (seen !== undefined && (last || countFindings(seen).error === 0)) return seen
    await sleep(Math.min(AGAIN_MS, Math.max(0, endMs - performance.now())), undefined, {
      signal: interrupted,
    }).catch((cause: unknown) => {
      throw new CodedError('UNAVAILABLE', 'Interrupted', { cause })
    })
  }
}
