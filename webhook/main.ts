import process from 'node:process'
import { durationMs, listenAddress, optional, text } from '../common/flags.ts'
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
    doc: 'where /livez, /readyz and /metrics are served, over plain HTTP',
    default: ':9080',
    parse: listenAddress,
  },
  'certificate-directory': {
    value: 'DIRECTORY',
    doc: 'holds tls.crt and tls.key; changes are taken up while serving',
    default: '/etc/oras-csi/certificate',
    parse: text,
  },
  'policy-file': {
    value: 'FILE',
    doc: "what pods may mount: the driver's policy, e.g. /etc/oras-csi/policy/policy.yaml; without one everything. Changes are taken up",
    default: '',
    parse: optional(text),
  },
  'shutdown-grace': {
    value: 'DURATION',
    doc: 'how long reviews are still served after SIGTERM, not ready, until all clients have heard of that',
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
      ...(values['policy-file'] !== undefined && { policyFile: values['policy-file'] }),
      log,
    }),
})
