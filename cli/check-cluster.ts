import { isCodedError } from '../common/errors.ts'
import { backstop, mutatingWebhook, validatingWebhook } from './check-admission.ts'
import { apiVersion, csiDriver } from './check-api.ts'
import { caBundle, certificate } from './check-certificate.ts'
import type { CheckContext, ClusterCheck } from './check-context.ts'
import { driverReady, driverRegistered } from './check-driver.ts'
import { type CheckFinding, warn } from './check-finding.ts'
import { stuckMounts } from './check-mounts.ts'
import { podSecurity } from './check-namespaces.ts'
import { composedPods } from './check-pods.ts'
import type { CheckGroup } from './check-text.ts'
import { trialPod } from './check-trial.ts'
import { versions } from './check-versions.ts'
import { webhookReady, webhookSpread } from './check-webhook.ts'
import { workloadTemplates } from './check-workloads.ts'

const GROUPS: readonly (readonly [title: string, checks: readonly ClusterCheck[]])[] = [
  ['Kubernetes', [apiVersion, csiDriver]],
  ['Admission', [mutatingWebhook, validatingWebhook, backstop]],
  ['Certificate', [caBundle, certificate]],
  ['Webhook', [webhookReady, webhookSpread, trialPod]],
  ['Driver', [driverReady, driverRegistered]],
  ['Installation', [podSecurity, versions]],
  ['Pods and workloads', [composedPods, stuckMounts, workloadTemplates]],
]

/**
 * Asks a cluster everything. What one has no right to see is a warning that says so.
 *
 * @throws UNAVAILABLE when the API server does not answer, UNAUTHENTICATED when it does not know the person
 */
export async function checkCluster(context: CheckContext): Promise<readonly CheckGroup[]> {
  // Alone and first: whoever cannot reach the API server is told that once, and an exec plug-in is run once.
  await runCheck(apiVersion, context)
  return Promise.all(
    GROUPS.map(async ([title, checks]) => {
      const findings = await Promise.all(checks.map((check) => runCheck(check, context)))
      return { title, findings: findings.flat() }
    }),
  )
}

async function runCheck(
  check: ClusterCheck,
  context: CheckContext,
): Promise<readonly CheckFinding[]> {
  try {
    return await check.run(context)
  } catch (error) {
    if (!isCodedError(error, 'DENIED')) throw error
    return [
      warn(`Cannot tell ${check.about}: ${error.message}`, `have an admin grant: ${check.needs}`),
    ]
  }
}
