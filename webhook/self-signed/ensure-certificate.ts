import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type JsonObject, objectAt, objectsAt, textAt } from '../json.ts'
import type { ClusterApi } from './cluster-api.ts'
import { makeServingCertificate } from './serving-certificate.ts'

/** Which certificate is looked after, and for how long it is good. */
export interface CertificateWish {
  readonly namespace: string
  /** A secret that exists, empty at first. */
  readonly secret: string
  /** The name of the webhook's Service. */
  readonly service: string
  /** The name of the mutating and of the validating webhook configuration. */
  readonly configuration: string
  readonly validForMs: number
  /** It is replaced this long before it ends. */
  readonly renewBeforeMs: number
}

/** What was found or done. */
export interface CertificateOutcome {
  readonly renewed: boolean
  /** Why there is another one, e.g. `it ends 2026-12-24T00:00:00.000Z`. */
  readonly why?: string
  readonly expires: Date
}

const CONFIGURATIONS = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const

/**
 * Sees to it that the webhook's secret holds a certificate that is good for a while (`tls.crt`, `tls.key`, and in `ca.crt` the
 * authorities to trust), and that the API server trusts it. Done again, it changes nothing until the certificate has to be renewed.
 *
 * Whatever it fails at, the old certificate goes on being trusted; to do it again is right at any point.
 *
 * @throws NOT_FOUND, DENIED, UNAVAILABLE as the API server answers; CONFLICT when another one wrote the secret meanwhile: do it again
 */
export async function ensureCertificate(
  api: ClusterApi,
  wish: CertificateWish,
  nowMs = Date.now(),
): Promise<CertificateOutcome> {
  const path = `/api/v1/namespaces/${wish.namespace}/secrets/${wish.secret}`
  const dnsName = `${wish.service}.${wish.namespace}.svc`
  // 1. What is there, if that is good enough.
  const secret = await api.get(path)
  const held = readSecret(secret)
  const why = whyRenew(held, dnsName, nowMs + wish.renewBeforeMs)
  if (why === undefined) {
    await trust(api, wish.configuration, held.authorities)
    return { renewed: false, expires: new X509Certificate(held.cert).validToDate }
  }
  const made = makeServingCertificate({ dnsNames: [dnsName], validForMs: wish.validForMs, nowMs })
  // 2. Trust before use: pods show the old certificate until the kubelet brings them the new one, and then the new one.
  const before = currentAuthority(held, nowMs)
  const authorities = made.authority + before
  await trust(api, wish.configuration, authorities)
  // 3. Only if nobody else did: two of these at once must not leave a pair that nobody trusts.
  const { resourceVersion } = objectAt(secret, 'metadata') ?? {}
  await api.patch(path, 'merge', {
    metadata: { resourceVersion },
    data: {
      'tls.crt': base64(made.cert),
      'tls.key': base64(made.key),
      'ca.crt': base64(authorities),
    },
  })
  return { renewed: true, why, expires: made.expires }
}

interface Held {
  readonly cert: string
  readonly key: string
  readonly authorities: string
}

function readSecret(secret: JsonObject): Held {
  const data = objectAt(secret, 'data')
  const text = (key: string) => Buffer.from(textAt(data, key) ?? '', 'base64').toString()
  return { cert: text('tls.crt'), key: text('tls.key'), authorities: text('ca.crt') }
}

/** Says what is wrong with a pair; undefined when it can be used until `untilMs`. */
function whyRenew(held: Held, dnsName: string, untilMs: number): string | undefined {
  if (held.cert === '' && held.key === '') return 'there was none'
  const [authority] = certificatesIn(held.authorities)
  const [cert] = certificatesIn(held.cert)
  if (cert === undefined || authority === undefined) return 'the secret holds no certificates'
  if (!keyFits(cert, held.key)) return 'its key was not its key'
  if (!cert.checkIssued(authority) || !cert.verify(authority.publicKey)) {
    return 'its authority was not its authority'
  }
  if (cert.checkHost(dnsName, { subject: 'never' }) === undefined)
    return `it was not for ${dnsName}`
  const ends = Math.min(cert.validToDate.getTime(), authority.validToDate.getTime())
  return ends < untilMs ? `it ends ${new Date(ends).toISOString()}` : undefined
}

function keyFits(cert: X509Certificate, key: string): boolean {
  try {
    return cert.checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

/** PEM of the authority that signed the certificate in use, which stands first; empty when there is none in force. */
function currentAuthority(held: Held, nowMs: number): string {
  const [authority] = certificatesIn(held.authorities)
  return authority !== undefined && authority.validToDate.getTime() > nowMs
    ? authority.toString()
    : ''
}

/** The certificates of a PEM text; none when one of them is none. */
function certificatesIn(text: string): readonly X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    return []
  }
}

/** Tells the API server whom to trust, in every webhook of both configurations; nothing is written where that stands already. */
async function trust(api: ClusterApi, configuration: string, authorities: string): Promise<void> {
  const caBundle = base64(authorities)
  for (const kind of CONFIGURATIONS) {
    const path = `/apis/admissionregistration.k8s.io/v1/${kind}/${configuration}`
    const webhooks = objectsAt(await api.get(path), 'webhooks')
    const stale = webhooks.filter(
      (webhook) => textAt(objectAt(webhook, 'clientConfig'), 'caBundle') !== caBundle,
    )
    if (stale.length === 0) continue
    await api.patch(path, 'strategic', {
      webhooks: stale.map(({ name }) => ({ name, clientConfig: { caBundle } })),
    })
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
