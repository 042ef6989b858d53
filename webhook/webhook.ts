import { setTimeout as wait } from 'node:timers/promises'
import { createCompositionCache } from '../common/composition/composition-cache.ts'
import type { ListenAddress } from '../common/flags.ts'
import { startHealthServer } from '../common/health-server.ts'
import type { Logger } from '../common/log.ts'
import { createMetrics } from '../common/metrics.ts'
import { openPolicy } from '../common/policy/open-policy.ts'
import { addProcessMetrics } from '../common/process-metrics.ts'
import { createAdmissionPolicy } from './admission-policy.ts'
import { CertificateWatcher } from './certificate.ts'
import { reviewPod } from './review.ts'
import { type AdmissionServer, startAdmissionServer } from './server.ts'
import { addWebhookMetrics } from './webhook-metrics.ts'
import { reviewWorkload } from './workload-review.ts'

/** What a webhook is started with. */
export interface WebhookConfig {
  readonly listen: ListenAddress
  readonly healthListen: ListenAddress
  /** Holds `tls.crt` and `tls.key`; watched. */
  readonly certificateDirectory: string
  /** How long requests are served after disposal began, while clients still hear of the other replicas. */
  readonly shutdownGraceMs: number
  /** What pods may mount, as the driver's; absent: everything. */
  readonly policyFile?: string
  readonly log: Logger
}

/**
 * A running webhook. Disposing fails readiness at once, serves on for the grace period with `Connection: close`, then
 * waits for running requests and closes.
 */
export interface Webhook extends AsyncDisposable {
  readonly port: number
  readonly healthPort: number
}

/**
 * Starts the admission webhook; it serves when this returns.
 *
 * @throws NOT_FOUND, INVALID when there is no good certificate, or not the policy that is wanted; a system error when a port is taken. Nothing runs on then.
 */
export async function startWebhook(config: WebhookConfig): Promise<Webhook> {
  const { log } = config
  let notReady: string | undefined = 'starting'
  let server: AdmissionServer | undefined
  await using stack = new AsyncDisposableStack()
  const metrics = createMetrics({ onError: (error) => log.warn({ error }, 'cannot read a metric') })
  stack.use(addProcessMetrics(metrics))
  // Before anything else: where an admin wants a policy, nothing is admitted without one.
  const policy = await openPolicy(config.policyFile, { stack, metrics, log })
  const health = stack.use(
    await startHealthServer({ listen: config.healthListen, notReady: () => notReady, metrics }),
  )
  const certificates = stack.use(
    await CertificateWatcher.start({
      directory: config.certificateDirectory,
      log,
      onChange: (certificate) => server?.useCertificate(certificate),
    }),
  )
  const observer = addWebhookMetrics(metrics, {
    paths: ['/mutate', '/validate-workload'],
    certificateExpires: () => certificates.current.expires,
    connections: async () => server?.connections() ?? 0,
  })
  const reviewing = {
    log,
    observer,
    options: { parse: createCompositionCache() },
    ...(policy && { policy: createAdmissionPolicy(policy) }),
  }
  server = stack.use(
    await startAdmissionServer({
      listen: config.listen,
      certificate: certificates.current,
      reviewers: {
        '/mutate': (document) => reviewPod(document, reviewing),
        '/validate-workload': (document) => reviewWorkload(document, reviewing),
      },
      observer,
      log,
    }),
  )
  // What was renewed while the server started.
  server.useCertificate(certificates.current)
  notReady = undefined
  const parts = stack.move()
  const { port } = server
  const { port: healthPort } = health
  log.info({ port, healthPort }, 'serving')
  return {
    port,
    healthPort,
    async [Symbol.asyncDispose]() {
      notReady = 'draining'
      server.drain()
      log.info({ graceMs: config.shutdownGraceMs }, 'draining')
      await wait(config.shutdownGraceMs)
      await parts.disposeAsync()
    },
  }
}
