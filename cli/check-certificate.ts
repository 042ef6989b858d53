import type { X509Certificate } from 'node:crypto'
import { isCodedError } from '../common/errors.ts'
import { type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import type { CheckContext, ClusterCheck } from './check-context.ts'
import { type CheckFinding, command, fail, ok, warn } from './check-finding.ts'
import {
  findWebhook,
  MUTATING_WEBHOOK,
  nameOf,
  VALIDATING_WEBHOOK,
  webhookDeployment,
  webhookPlace,
} from './check-installation.ts'
import { leadsTo, parseCertificates } from './check-trust.ts'
import { counted } from './text-table.ts'

const DAY_MS = 86_400_000
/** Renewal is a month before the end, three months with the self-signed component: by then it has failed for weeks. */
const SOON_MS = 14 * DAY_MS
const USUAL_SECRET = 'oras-csi-webhook-certificate'
const INJECTED = 'cert-manager.io/inject-ca-from'

/** Whether both configurations name an authority. */
export const caBundle: ClusterCheck = {
  about: 'whether the API server is told whom to trust',
  needs: 'list mutatingwebhookconfigurations',
  async run({ view }) {
    const findings: CheckFinding[] = []
    for (const name of [MUTATING_WEBHOOK, VALIDATING_WEBHOOK] as const) {
      const found = await findWebhook(view, name)
      // The check of the configurations says so.
      if (found === undefined) continue
      const { webhook, configuration } = found
      const kind = name === MUTATING_WEBHOOK ? 'Mutating' : 'Validating'
      const about = `${kind}WebhookConfiguration ${nameOf(configuration)}`
      const what =
        name === MUTATING_WEBHOOK
          ? 'the API server does not trust the webhook and refuses every pod that wants artifacts'
          : 'the API server does not trust the webhook and checks no workload'
      const bundle = readBundle(webhook)
      if (bundle === undefined) {
        findings.push(
          fail(`${about} has no CA bundle: ${what}`, await injection(view, configuration)),
        )
      } else if (bundle === 'malformed') {
        findings.push(
          fail(
            `The CA bundle of ${about} holds no certificate: ${what}`,
            await injection(view, configuration),
          ),
        )
      } else {
        findings.push(ok(`${about} has a CA bundle of ${counted(bundle.length, 'certificate')}`))
      }
    }
    return findings
  },
}

/** Whether the certificate is valid, for how long, for the right name, and of an authority that the API server is told to trust. */
export const certificate: ClusterCheck = {
  about: "whether the webhook's certificate is valid",
  needs: 'get secrets',
  async run(context) {
    const { view } = context
    const { namespace, service } = await webhookPlace(view)
    const secret = await secretName(context)
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(secret)}`
    let held: JsonObject | undefined
    try {
      held = await view.get(path)
    } catch (error) {
      // As it should be: who may only look may not see keys.
      if (!isCodedError(error, 'DENIED')) throw error
      return withoutSecret(context, namespace, secret)
    }
    const todo = await renewal(context, namespace)
    if (held === undefined) {
      return [
        fail(`There is no Secret ${namespace}/${secret}: the webhook has no certificate`, todo),
      ]
    }
    const chain = readChain(held)
    const [leaf] = chain
    if (leaf === undefined) {
      return [fail(`Secret ${namespace}/${secret} holds no certificate`, todo)]
    }
    const findings = [
      validity(context.now, Date.parse(leaf.validFrom), Date.parse(leaf.validTo), todo),
    ]
    const name = `${service}.${namespace}.svc`
    if (leaf.checkHost(name) === undefined) {
      findings.push(
        fail(
          `The webhook's certificate is not for ${name}, by which the API server calls it`,
          todo,
        ),
      )
    }
    return [...findings, ...(await matching(context, chain))]
  },
}

async function matching(
  { view }: CheckContext,
  chain: readonly X509Certificate[],
): Promise<readonly CheckFinding[]> {
  const findings: CheckFinding[] = []
  for (const name of [MUTATING_WEBHOOK, VALIDATING_WEBHOOK] as const) {
    const found = await findWebhook(view, name)
    if (found === undefined) continue
    const bundle = readBundle(found.webhook)
    if (bundle === undefined || bundle === 'malformed') continue
    const kind = name === MUTATING_WEBHOOK ? 'Mutating' : 'Validating'
    const about = `the CA bundle of ${kind}WebhookConfiguration ${nameOf(found.configuration)}`
    findings.push(
      leadsTo(chain, bundle)
        ? ok(`The webhook's certificate is of an authority in ${about}`)
        : fail(
            `The webhook's certificate is of no authority in ${about}: the API server does not trust the webhook`,
            await injection(view, found.configuration),
          ),
    )
  }
  return findings
}

/** cert-manager says when a certificate ends to who may not see it; whether the authorities match, the trial pod tells. */
async function withoutSecret(
  context: CheckContext,
  namespace: string,
  secret: string,
): Promise<readonly CheckFinding[]> {
  const path = `/apis/cert-manager.io/v1/namespaces/${encodeURIComponent(namespace)}/certificates`
  const certificates = await context.view.list(path)
  const one = certificates.find((each) => textAt(objectAt(each, 'spec'), 'secretName') === secret)
  if (one === undefined) {
    return [
      warn(
        `Cannot tell how long the webhook's certificate is valid: Secret ${namespace}/${secret} is not for you, and no cert-manager Certificate makes it`,
        command('kubectl', 'auth', 'can-i', 'get', `secret/${secret}`, '--namespace', namespace),
      ),
    ]
  }
  const status = objectAt(one, 'status')
  const todo = command('kubectl', '--namespace', namespace, 'describe', 'certificate', nameOf(one))
  const ready = objectsAt(status, 'conditions').find((each) => textAt(each, 'type') === 'Ready')
  if (textAt(ready, 'status') !== 'True') {
    const why = textAt(ready, 'message') ?? 'cert-manager has not looked at it'
    return [fail(`Certificate ${namespace}/${nameOf(one)} is not ready: ${why}`, todo)]
  }
  const from = Date.parse(textAt(status, 'notBefore') ?? '')
  return [validity(context.now, from, Date.parse(textAt(status, 'notAfter') ?? ''), todo)]
}

function validity(now: Date, fromMs: number, untilMs: number, todo: string): CheckFinding {
  const leftMs = untilMs - now.getTime()
  if (Number.isNaN(leftMs)) {
    return warn("Cannot tell how long the webhook's certificate is valid: nothing says so", todo)
  }
  const until = new Date(untilMs).toISOString().slice(0, 10)
  const days = counted(Math.floor(Math.abs(leftMs) / DAY_MS), 'day')
  if (leftMs < 0) return fail(`The webhook's certificate ended ${days} ago, on ${until}`, todo)
  if (fromMs > now.getTime()) {
    const from = new Date(fromMs).toISOString()
    return fail(`The webhook's certificate is not valid before ${from}: a clock is wrong`, todo)
  }
  if (leftMs < SOON_MS) {
    return warn(
      `The webhook's certificate ends in ${days}, on ${until}: it should have been renewed`,
      todo,
    )
  }
  return ok(`The webhook's certificate is valid for ${days}, until ${until}`)
}

async function secretName({ view }: CheckContext): Promise<string> {
  try {
    const spec = objectAlong(await webhookDeployment(view), ['spec', 'template', 'spec'])
    const volume = objectsAt(spec, 'volumes').find((one) => textAt(one, 'name') === 'certificate')
    return textAt(objectAt(volume, 'secret'), 'secretName') ?? USUAL_SECRET
  } catch (error) {
    if (isCodedError(error, 'DENIED')) return USUAL_SECRET
    throw error
  }
}

async function renewal(context: CheckContext, namespace: string): Promise<string> {
  const found = await findWebhook(context.view, MUTATING_WEBHOOK).catch((error: unknown) => {
    if (isCodedError(error, 'DENIED')) return undefined
    throw error
  })
  return found === undefined || isInjected(found.configuration)
    ? command('kubectl', '--namespace', namespace, 'describe', 'certificate,certificaterequest')
    : selfSigned(namespace)
}

async function injection(view: CheckContext['view'], configuration: JsonObject): Promise<string> {
  return isInjected(configuration)
    ? 'kubectl --namespace cert-manager logs deployment/cert-manager-cainjector'
    : selfSigned((await webhookPlace(view)).namespace)
}

function selfSigned(namespace: string): string {
  const job = ['create', 'job', 'certificate-now', '--from=cronjob/oras-csi-certificate']
  return command('kubectl', '--namespace', namespace, ...job)
}

function isInjected(configuration: JsonObject): boolean {
  return textAt(objectAlong(configuration, ['metadata', 'annotations']), INJECTED) !== undefined
}

/** @returns undefined where there is none */
function readBundle(webhook: JsonObject): readonly X509Certificate[] | 'malformed' | undefined {
  const text = textAt(objectAt(webhook, 'clientConfig'), 'caBundle')
  if (text === undefined) return undefined
  const certificates = tryParse(text)
  return certificates.length === 0 ? 'malformed' : certificates
}

/** The key lies in the same object: it goes no further than this. */
function readChain(secret: JsonObject): readonly X509Certificate[] {
  return tryParse(textAt(objectAt(secret, 'data'), 'tls.crt') ?? '')
}

function tryParse(base64: string): readonly X509Certificate[] {
  try {
    return parseCertificates(Buffer.from(base64, 'base64').toString())
  } catch {
    // OpenSSL's words for it say nothing to a person.
    return []
  }
}
