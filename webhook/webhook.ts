import { setTimeout as wait } from 'node:timers/promises'
import type { ListenAddress } from '../common/flags.ts'
import { startHealthServer } from '../common/health-server.ts'
import type { Logger } from '../common/log.ts'
import { CertificateWatcher } from './certificate.ts'
import { reviewPod } from './review.ts'
import { type AdmissionServer, startAdmissionServer } from './server.ts'

/** What a webhook is started with. */
export interface WebhookConfig {
  readonly listen: ListenAddress
  readonly healthListen: ListenAddress
  /** Holds `tls.crt` and `tls.key`; watched. */
  readonly certificateDirectory: string
  /** How long requests are served after disposal began, while clients still hear of the other replicas. */
  readonly shutdownGraceMs: number
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
 * @throws NOT_FOUND, INVALID when there is no good certificate; a system error when a port is taken. Nothing runs on then.
 */
export async function startWebhook(config: WebhookConfig): Promise<Webhook> {
  const { log } = config
  let notReady: string | undefined = 'starting'
  let server: AdmissionServer | undefined
  await using stack = new AsyncDisposableStack()
  const health = stack.use(
    await startHealthServer({ listen: config.healthListen, notReady: () => notReady }),
  )
  const certificates = stack.use(
    await CertificateWatcher.start({
      directory: config.certificateDirectory,
      log,
      onChange: (certificate) => server?.useCertificate(certificate),
    }),
  )
  server = stack.use(
    await startAdmissionServer({
      listen: config.listen,
      certificate: certificates.current,
      review: (document) => reviewPod(document, { log }),
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
