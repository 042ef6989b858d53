import { isCodedError } from '../common/errors.ts'
import { type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import { command } from './check-finding.ts'
import { matchesSelector } from './kubernetes-selector.ts'
import type { KubernetesSnapshot } from './kubernetes-snapshot.ts'

/** The names that the API server knows our webhooks by, whatever the installation calls the objects around them. */
export const MUTATING_WEBHOOK = 'mutate.csi.oras.land'
export const VALIDATING_WEBHOOK = 'validate.csi.oras.land'

/** A webhook, and the configuration it stands in. */
export interface WebhookConfiguration {
  readonly configuration: JsonObject
  readonly webhook: JsonObject
}

/** Where the API server calls the webhook. */
export interface WebhookPlace {
  readonly namespace: string
  readonly service: string
}

/** What the shipped manifests say. */
const USUAL_PLACE: WebhookPlace = { namespace: 'oras-csi', service: 'oras-csi-webhook' }

/** Finds a webhook of ours by its name. @throws DENIED */
export async function findWebhook(
  view: KubernetesSnapshot,
  name: typeof MUTATING_WEBHOOK | typeof VALIDATING_WEBHOOK,
): Promise<WebhookConfiguration | undefined> {
  const kind = name === MUTATING_WEBHOOK ? 'mutating' : 'validating'
  const path = `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations`
  for (const configuration of await view.list(path)) {
    const webhook = objectsAt(configuration, 'webhooks').find((one) => textAt(one, 'name') === name)
    if (webhook !== undefined) return { configuration, webhook }
  }
  return undefined
}

/** Where the webhook is; the usual place when nobody says, or one may not know. */
export async function webhookPlace(view: KubernetesSnapshot): Promise<WebhookPlace> {
  try {
    const found = await findWebhook(view, MUTATING_WEBHOOK)
    const service = objectAlong(found?.webhook, ['clientConfig', 'service'])
    return {
      namespace: textAt(service, 'namespace') ?? USUAL_PLACE.namespace,
      service: textAt(service, 'name') ?? USUAL_PLACE.service,
    }
  } catch (error) {
    if (isCodedError(error, 'DENIED')) return USUAL_PLACE
    throw error
  }
}

/** Answers whether the webhook is not asked about the pods of a namespace. @throws DENIED */
export async function isExcluded(view: KubernetesSnapshot, namespace: string): Promise<boolean> {
  const found = await findWebhook(view, MUTATING_WEBHOOK)
  const object = await view.get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`)
  const labels = objectAlong(object, ['metadata', 'labels']) ?? {}
  return !matchesSelector(objectAt(found?.webhook, 'namespaceSelector'), {
    'kubernetes.io/metadata.name': namespace,
    ...labels,
  })
}

/** Finds the webhook's Deployment. @throws DENIED */
export async function webhookDeployment(view: KubernetesSnapshot): Promise<JsonObject | undefined> {
  const { namespace } = await webhookPlace(view)
  const [deployment] = await view.list(
    `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/deployments?${selector('webhook')}`,
  )
  return deployment
}

/** Finds the driver's DaemonSets: one as a rule, several where kinds of nodes need different flags. @throws DENIED */
export function driverDaemonSets(view: KubernetesSnapshot): Promise<readonly JsonObject[]> {
  return view.list(`/apis/apps/v1/daemonsets?${selector('driver')}`)
}

/** The pods of webhook or driver in a namespace. @throws DENIED */
export function componentPods(
  view: KubernetesSnapshot,
  component: 'webhook' | 'driver',
  namespace: string,
): Promise<readonly JsonObject[]> {
  return view.list(
    `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?${selector(component)}`,
  )
}

function selector(component: string): string {
  const labels = `app.kubernetes.io/name=oras-csi,app.kubernetes.io/component=${component}`
  return `labelSelector=${encodeURIComponent(labels)}`
}

/** How an object is brought back to what was shipped: by Helm if Helm made it. */
export function reapply(object?: JsonObject): string {
  const annotations = objectAlong(object, ['metadata', 'annotations'])
  const release = textAt(annotations, 'meta.helm.sh/release-name')
  if (release === undefined) {
    return object === undefined
      ? 'kubectl apply -k manifests/ (or helm upgrade --install)'
      : 'kubectl apply -k manifests/'
  }
  const namespace = textAt(annotations, 'meta.helm.sh/release-namespace') ?? 'default'
  return command(
    'helm',
    'upgrade',
    release,
    'chart/',
    '--namespace',
    namespace,
    '--reset-then-reuse-values',
  )
}

/** The name of an object, for messages. */
export function nameOf(object: JsonObject): string {
  return textAt(objectAt(object, 'metadata'), 'name') ?? '?'
}

/** The namespace of an object, for messages. */
export function namespaceOf(object: JsonObject): string {
  return textAt(objectAt(object, 'metadata'), 'namespace') ?? 'default'
}

/** The number at `key`; 0 for anything else, as the API leaves zeros out. */
export function numberAt(parent: JsonObject | undefined, key: string): number {
  const value = parent?.[key]
  return typeof value === 'number' ? value : 0
}
