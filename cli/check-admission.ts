import { type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'
import type { ClusterCheck } from './check-context.ts'
import { type CheckFinding, fail, ok, warn } from './check-finding.ts'
import {
  findWebhook,
  MUTATING_WEBHOOK,
  nameOf,
  reapply,
  VALIDATING_WEBHOOK,
} from './check-installation.ts'

const CONDITIONS = ['has-oras-land-annotation', 'is-no-mirror-pod']
const POLICY = 'oras-csi-artifacts-applied'

/** Whether the API server asks the webhook about pods that want artifacts, and about no others. */
export const mutatingWebhook: ClusterCheck = {
  about: 'whether the API server is told to ask the webhook',
  needs: 'list mutatingwebhookconfigurations',
  async run({ view }) {
    const found = await findWebhook(view, MUTATING_WEBHOOK)
    if (found === undefined) {
      const message = `No MutatingWebhookConfiguration has the webhook ${MUTATING_WEBHOOK}: pods get no artifacts`
      return [fail(message, reapply())]
    }
    const { configuration, webhook } = found
    const about = `MutatingWebhookConfiguration ${nameOf(configuration)}`
    const names = objectsAt(webhook, 'matchConditions').map((one) => textAt(one, 'name'))
    const lacking = CONDITIONS.filter((name) => !names.includes(name))
    const findings: CheckFinding[] = []
    if (names.length === 0) {
      findings.push(
        fail(
          `${about} has no matchConditions: every new pod waits for the webhook. cert-manager before 1.12 drops them`,
          `update cert-manager, then: ${reapply(configuration)}`,
        ),
      )
    } else if (lacking.length > 0) {
      findings.push(
        fail(`${about} lacks the matchCondition ${lacking.join(', ')}`, reapply(configuration)),
      )
    }
    if (textAt(webhook, 'failurePolicy') === 'Ignore') {
      findings.push(
        warn(
          `${about} has failurePolicy: Ignore; expected Fail, or pods start without their artifacts while the webhook is down`,
          reapply(configuration),
        ),
      )
    }
    return findings.length > 0 ? findings : [ok(`${about} is as it must be`)]
  },
}

/** Whether who applies a workload is told what is wrong with it. */
export const validatingWebhook: ClusterCheck = {
  about: 'whether workloads are checked when they are applied',
  needs: 'list validatingwebhookconfigurations',
  async run({ view }) {
    const found = await findWebhook(view, VALIDATING_WEBHOOK)
    if (found === undefined) {
      return [
        warn(
          `No ValidatingWebhookConfiguration has the webhook ${VALIDATING_WEBHOOK}: a mistake in a Deployment shows only at its pods`,
          reapply(),
        ),
      ]
    }
    const about = `ValidatingWebhookConfiguration ${nameOf(found.configuration)}`
    return objectsAt(found.webhook, 'matchConditions').length > 0
      ? [ok(`${about} is as it must be`)]
      : [
          warn(
            `${about} has no matchConditions: every workload that is applied waits for the webhook`,
            reapply(found.configuration),
          ),
        ]
  },
}

/** Whether the API server itself refuses pods that no webhook has seen. */
export const backstop: ClusterCheck = {
  about: 'whether pods are refused that the webhook has not seen',
  needs: 'list validatingadmissionpolicybindings',
  async run({ view }) {
    const base = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic'
    const policy = await view.get(`${base}ies/${POLICY}`)
    const without = 'a pod that the webhook has not seen would start without its artifacts'
    if (policy === undefined) {
      return [warn(`There is no ValidatingAdmissionPolicy ${POLICY}: ${without}`, reapply())]
    }
    const bindings = (await view.list(`${base}ybindings`)).filter(
      (binding) => textAt(objectAt(binding, 'spec'), 'policyName') === POLICY,
    )
    return bindings.some(denies)
      ? [ok(`ValidatingAdmissionPolicy ${POLICY} is bound, and denies`)]
      : [
          warn(
            `No binding lets ValidatingAdmissionPolicy ${POLICY} deny: ${without}`,
            reapply(policy),
          ),
        ]
  },
}

function denies(binding: JsonObject): boolean {
  const actions = objectAt(binding, 'spec')?.['validationActions']
  return Array.isArray(actions) && actions.includes('Deny')
}
