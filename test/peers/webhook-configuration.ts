import { objectsAt } from '../../webhook/json.ts'
import { objectIn, objectNamed, readBase } from '../manifests/manifest-objects.ts'
import type { KubernetesApi } from './kubernetes-api.ts'

/** How a shipped configuration is to call a webhook of a test. */
export interface ConfiguredOptions {
  readonly kind: 'MutatingWebhookConfiguration' | 'ValidatingWebhookConfiguration'
  /** PEM. */
  readonly ca: string
  /** Default the service that it names. */
  readonly url?: string
  /** Default `oras-csi`. Mutating webhooks are called in the order of these names. */
  readonly name?: string
}

/** Applies a webhook configuration of the base, for a webhook of a test; disposing removes it. */
export async function configured(
  { kubectl }: KubernetesApi,
  { kind, ca, url, name = 'oras-csi' }: ConfiguredOptions,
): Promise<AsyncDisposable> {
  const configuration = objectNamed(await readBase(), `${kind} oras-csi`)
  const caBundle = Buffer.from(ca).toString('base64')
  const webhooks = objectsAt(configuration, 'webhooks').map((webhook) => {
    const service = objectIn(webhook, 'clientConfig', 'service')
    const where = url === undefined ? { service } : { url: `${url}${service['path']}` }
    return { ...webhook, clientConfig: { ...where, caBundle } }
  })
  await kubectl.apply([{ ...configuration, metadata: { name }, webhooks }])
  return {
    [Symbol.asyncDispose]: async () => {
      await kubectl.run('delete', kind, name)
    },
  }
}
