import { createCertificateAuthority, type KeyPair } from '../support/certificates.ts'
import {
  type ChildProcess,
  type OutputLine,
  startProcess,
  withMessage,
} from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { mountSecret } from '../webhook/serving-certificate.ts'

/** A webhook on this machine. Disposing ends it. */
export interface Reachable extends AsyncDisposable {
  /** e.g. `https://127.0.0.1:41233` */
  readonly url: string
  /** PEM. */
  readonly ca: string
}

/** Our webhook, as a process of its own. */
export interface RealWebhook extends Reachable {
  readonly port: number
  /** e.g. `http://127.0.0.1:41234` */
  readonly healthUrl: string
  readonly process: ChildProcess
  /** What it logged of the reviews it answered. */
  reviews(): readonly Readonly<Record<string, unknown>>[]
}

/** A certificate for webhooks that stand in for one another, and its authority. */
export interface Identity {
  /** PEM. */
  readonly ca: string
  readonly pair: KeyPair
}

/** Makes a certificate for names; by default an address on this machine. */
export async function createIdentity(names: readonly string[] = ['127.0.0.1']): Promise<Identity> {
  const authority = await createCertificateAuthority()
  return { ca: authority.cert, pair: await authority.issue({ names }) }
}

/** How the real webhook is started. */
export interface RealWebhookOptions {
  /** Default `127.0.0.1`. */
  readonly address?: string
  /** More flags, e.g. `["--shutdown-grace=2s"]`. */
  readonly flags?: readonly string[]
  /** Default one for that address. */
  readonly identity?: Identity
}

/** Starts the real webhook, on free ports. */
export async function startRealWebhook(options: RealWebhookOptions = {}): Promise<RealWebhook> {
  const { address = '127.0.0.1', flags = [] } = options
  await using stack = new AsyncDisposableStack()
  const { ca, pair } = options.identity ?? (await createIdentity([address]))
  const directory = stack.use(await temporaryDirectory())
  await mountSecret(directory.path, pair)
  const webhook = stack.use(
    startProcess({
      args: [
        'webhook/main.ts',
        `--listen=${address}:0`,
        '--health-listen=127.0.0.1:0',
        `--certificate-directory=${directory.path}`,
        ...flags,
      ],
    }),
  )
  const { json } = await webhook.waitForLine(withMessage('serving'), 60_000)
  const port = Number(json?.['port'])
  const running = stack.move()
  return {
    url: `https://${address}:${port}`,
    port,
    healthUrl: `http://127.0.0.1:${json?.['healthPort']}`,
    ca,
    process: webhook,
    reviews: () => webhook.lines.filter(withMessage('review')).map(lineObject),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function lineObject({ json }: OutputLine): Readonly<Record<string, unknown>> {
  return json ?? {}
}
