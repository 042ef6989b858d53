import process from 'node:process'
import { toCodedError } from '../common/errors.ts'
import { durationMs, listenAddress, oneOf, parseFlags, text } from '../common/flags.ts'
import { runUntilSignal } from '../common/lifecycle.ts'
import { createLogger, LOG_LEVELS } from '../common/log.ts'
import { startWebhook } from './webhook.ts'

const FLAGS = {
  listen: {
    value: '[HOST]:PORT',
    doc: 'where admission reviews are served, over TLS',
    default: ':9443',
    parse: listenAddress,
  },
  'health-listen': {
    value: '[HOST]:PORT',
    doc: 'where /livez and /readyz are served, over plain HTTP',
    default: ':9080',
    parse: listenAddress,
  },
  'certificate-directory': {
    value: 'DIRECTORY',
    doc: 'holds tls.crt and tls.key; changes are taken up while serving',
    default: '/etc/oras-csi/certificate',
    parse: text,
  },
  'shutdown-grace': {
    value: 'DURATION',
    doc: 'how long reviews are still served after SIGTERM',
    default: '15s',
    parse: durationMs,
  },
  'log-level': {
    value: 'LEVEL',
    doc: LOG_LEVELS.join(', '),
    default: 'info',
    parse: oneOf(LOG_LEVELS),
  },
} as const

await main()

async function main(): Promise<void> {
  let flags: ReturnType<typeof readFlags>
  try {
    flags = readFlags()
  } catch (error) {
    process.stderr.write(`${toCodedError(error).message}\n`)
    process.exit(2)
  }
  if (flags.help) {
    process.stdout.write(flags.text)
    return
  }
  const { values } = flags
  const log = createLogger({ name: 'oras-csi-webhook', level: values['log-level'] })
  await runUntilSignal({
    process,
    log,
    start: () =>
      startWebhook({
        listen: values.listen,
        healthListen: values['health-listen'],
        certificateDirectory: values['certificate-directory'],
        shutdownGraceMs: values['shutdown-grace'],
        log,
      }),
  })
}

function readFlags() {
  return parseFlags({
    usage: 'oras-csi-webhook [FLAGS]',
    flags: FLAGS,
    argv: process.argv.slice(2),
    env: process.env,
  })
}
