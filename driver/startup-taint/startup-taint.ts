import { setTimeout as wait } from 'node:timers/promises'
import { CodedError } from '../../common/errors.ts'
import type { ApiClient } from '../../common/kubernetes/api-client.ts'
import type { Logger } from '../../common/log.ts'
import { removalOf, taintsOf } from './taint.ts'

/** Takes a node's startup taint off in the background. The disposal ends that. */
export interface StartupTaint extends AsyncDisposable {
  /** To be told each time that the kubelet has registered the driver: from then on, pods find it here. */
  registered(): void
  /** Whether the node had no such taint when that was last looked at; false until it has been. */
  readonly isGone: boolean
}

const BACKOFF_MS = 1_000
/** Who waits for pods on a new node looks about as often. */
const MAX_BACKOFF_MS = 30_000

/**
 * Takes the taint with which nodes are provisioned off this node, tried for as long as it takes: a node that keeps it gets no pods.
 *
 * @param options.backoffMs before the second try; doubles, up to half a minute
 */
export function createStartupTaint(options: {
  readonly api: Pick<ApiClient, 'send'>
  readonly node: string
  /** e.g. `csi.oras.land/agent-not-ready` */
  readonly key: string
  readonly log: Logger
  readonly backoffMs?: number
}): StartupTaint {
  const { api, node, key, log, backoffMs = BACKOFF_MS } = options
  const stopping = new AbortController()
  const path = `/api/v1/nodes/${encodeURIComponent(node)}`
  let isGone = false
  let running: Promise<void> | undefined

  /** One look, and one change if it takes one. */
  const remove = async () => {
    const found = await api.send({ method: 'GET', path }, stopping.signal)
    if (found.status !== 200) throw refusal('read', found)
    const patch = removalOf(taintsOf(found.body), key)
    if (patch === undefined) return log.info({ node, key }, 'the node has no startup taint')
    const changed = await api.send(
      { method: 'PATCH', path, contentType: 'application/json-patch+json', body: patch },
      stopping.signal,
    )
    // 409 and 422: somebody else was there first, look again.
    if (changed.status !== 200) throw refusal('change', changed)
    log.info({ node, key }, 'startup taint removed')
  }

  const removeAtLast = async () => {
    for (let tries = 1; !stopping.signal.aborted; tries += 1) {
      try {
        await remove()
        isGone = true
        return
      } catch (error) {
        if (stopping.signal.aborted) return
        // Each node of a large cluster at another moment, and each failure is told: pods wait.
        log.warn({ error, node, key, tries }, 'cannot remove the startup taint, trying again')
        const ms = Math.min(backoffMs * 2 ** (tries - 1), MAX_BACKOFF_MS) * (0.5 + Math.random())
        await wait(ms, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined)
      }
    }
  }

  return {
    get isGone() {
      return isGone
    },
    registered() {
      // A kubelet that has restarted may have registered the node anew, with its taints.
      running ??= removeAtLast().finally(() => {
        running = undefined
      })
    },
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('the driver is stopping'))
      await running
    },
  }
}

function refusal(
  what: string,
  { status, message }: { readonly status: number; readonly message: string },
): CodedError {
  return new CodedError(
    status === 403 ? 'DENIED' : 'UNAVAILABLE',
    `Cannot ${what} the node: the API server answered ${status}: ${message}`,
  )
}
