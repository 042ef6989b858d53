import process from 'node:process'
import { durationMs, listenAddress, text } from '../common/flags.ts'
import { runService } from '../common/service.ts'
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
} as const

await runService({
  process,
  name: 'oras-csi-webhook',
  flags: FLAGS,
  start: (values, { log }) =>
    startWebhook({
      listen: values.listen,
      healthListen: values['health-listen'],
      certificateDirectory: values['certificate-directory'],
      shutdownGraceMs: values['shutdown-grace'],
      log,
    }),
})
