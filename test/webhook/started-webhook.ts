import { openApiServer } from '../support/api-server.ts'
import type { CertificateAuthority } from '../support/certificates.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { mountSecret, NAMES } from './serving-certificate.ts'

/** Starts the real `webhook/main.ts` and waits until it serves. Disposing kills it. */
export async function startedWebhook(
  authority: CertificateAuthority,
  options: {
    readonly grace?: string
    readonly connections?: number
    /** As in its pod: Node takes half of a container's memory for its heap. */
    readonly isContained?: boolean
  } = {},
) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const pair = await authority.issue({ names: NAMES })
  await mountSecret(directory.path, pair)
  const process = stack.use(
    startProcess({
      ...(options.isContained && { nodeFlags: ['--max-old-space-size=192'] }),
      args: [
        'webhook/main.ts',
        '--listen=127.0.0.1:0',
        '--health-listen=127.0.0.1:0',
        `--certificate-directory=${directory.path}`,
        `--shutdown-grace=${options.grace ?? '0s'}`,
      ],
    }),
  )
  const { json } = await process.waitForLine(withMessage('serving'), 60_000)
  const port = Number(json?.['port'])
  const healthUrl = `http://127.0.0.1:${Number(json?.['healthPort'])}`
  const api = stack.use(
    openApiServer({
      url: `https://127.0.0.1:${port}`,
      ca: authority.cert,
      connections: options.connections ?? 1,
    }),
  )
  const parts = stack.move()
  return {
    ...{ process, directory, port, healthUrl, pair, api },
    /** For connections of the test's own. */
    target: { port, ca: authority.cert },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}
