import process from 'node:process'
import { CodedError, toCodedError } from '../../common/errors.ts'
import { durationMs, parseFlags, text } from '../../common/flags.ts'
import { openApiClient } from '../../common/kubernetes/api-client.ts'
import { ACCOUNT_DIRECTORY, findServiceAccount } from '../../common/kubernetes/service-account.ts'
import { createLogger } from '../../common/log.ts'
import { createClusterApi } from './cluster-api.ts'
import { ensureCertificate } from './ensure-certificate.ts'

/**
 * Makes the webhook's certificate where cert-manager does not, or renews it when its time comes; ends when that is done. A Job runs it
 * when oras-csi is installed, a CronJob every week.
 */
const FLAGS = {
  namespace: {
    value: 'NAME',
    doc: "the webhook's namespace",
    default: 'oras-csi',
    parse: text,
  },
  secret: {
    value: 'NAME',
    doc: 'the secret that the webhook mounts; it has to be there, and may be empty',
    default: 'oras-csi-webhook-self-signed',
    parse: text,
  },
  service: {
    value: 'NAME',
    doc: "the webhook's Service, which the certificate names",
    default: 'oras-csi-webhook',
    parse: text,
  },
  configuration: {
    value: 'NAME',
    doc: 'the mutating and the validating webhook configuration that are told whom to trust',
    default: 'oras-csi',
    parse: text,
  },
  'valid-for': {
    value: 'DURATION',
    doc: 'how long a new certificate is good',
    default: '8760h',
    parse: durationMs,
  },
  'renew-before': {
    value: 'DURATION',
    doc: 'how long before its end a certificate is replaced',
    default: '2160h',
    parse: durationMs,
  },
  'api-server': {
    value: 'URL',
    doc: 'default: as Kubernetes tells every pod',
    default: '',
    parse: text,
  },
  'account-directory': {
    value: 'DIRECTORY',
    doc: "holds the service account's token and ca.crt",
    default: ACCOUNT_DIRECTORY,
    parse: text,
  },
} as const

/** The API server answers a small object in milliseconds; a Job is tried again. */
const TIMEOUT_MS = 20_000

process.exitCode = await main()

async function main(): Promise<number> {
  const log = createLogger({ name: 'oras-csi-self-signed', level: 'info' })
  try {
    const { argv, env } = process
    const usage = 'oras-csi-self-signed [FLAGS]'
    const parsed = parseFlags({ usage, flags: FLAGS, argv: argv.slice(2), env })
    if (parsed.help) {
      process.stdout.write(parsed.text)
      return 0
    }
    const { values } = parsed
    if (values['renew-before'] >= values['valid-for']) {
      throw new CodedError('INVALID', 'Invalid --renew-before: expected less than --valid-for')
    }
    const { 'account-directory': directory, 'api-server': url } = values
    const account = url === '' ? await findServiceAccount({ env, directory }) : { url, directory }
    await using client = openApiClient({ account, timeoutMs: TIMEOUT_MS })
    const api = createClusterApi(client, new AbortController().signal)
    const { namespace, secret, service, configuration } = values
    const { renewed, why, expires } = await ensureCertificate(api, {
      ...{ namespace, secret, service, configuration },
      validForMs: values['valid-for'],
      renewBeforeMs: values['renew-before'],
    })
    log.info(
      { secret, expires, ...(why && { why }) },
      renewed ? 'certificate made' : 'certificate kept',
    )
    return 0
  } catch (thrown) {
    const error = toCodedError(thrown)
    if (error.code === 'INVALID') process.stderr.write(`${error.message}\n`)
    else log.error({ error: error.code === 'INTERNAL' ? thrown : error }, 'certificate not ensured')
    return error.code === 'INVALID' ? 2 : 1
  }
}
