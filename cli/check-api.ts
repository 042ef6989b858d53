import { DRIVER_NAME } from '../common/composition/composition.ts'
import { objectAt, textAt } from '../webhook/json.ts'
import type { ClusterCheck } from './check-context.ts'
import { type CheckFinding, fail, ok, warn } from './check-finding.ts'
import { reapply } from './check-installation.ts'

/** matchConditions, on which everything relies, are stable since then. */
const OLDEST_MINOR = 30

/** Whether the API server is one that the webhook works with. */
export const apiVersion: ClusterCheck = {
  about: 'which version the API server has',
  needs: 'get /version',
  async run({ view }) {
    const version = await view.get('/version')
    const answers = ok(`${view.server} answers (context ${view.context})`)
    const name = textAt(version, 'gitVersion') ?? 'of no version'
    const major = Number.parseInt(textAt(version, 'major') ?? '', 10)
    const minor = Number.parseInt(textAt(version, 'minor') ?? '', 10)
    if (Number.isNaN(major) || Number.isNaN(minor)) {
      return [
        answers,
        warn(
          `The API server does not say its version; expected 1.${OLDEST_MINOR} or later`,
          'kubectl version',
        ),
      ]
    }
    return major > 1 || (major === 1 && minor >= OLDEST_MINOR)
      ? [answers, ok(`The API server has version ${name}`)]
      : [
          answers,
          fail(
            `The API server has version ${name}; expected 1.${OLDEST_MINOR} or later`,
            'upgrade the cluster: older API servers pass over the matchConditions of webhooks',
          ),
        ]
  },
}

/** What a CSIDriver object must say, and what goes wrong otherwise. */
const FIELDS: readonly (readonly [field: string, wanted: unknown, otherwise: string])[] = [
  ['attachRequired', false, 'pods wait for an attachment that nobody makes'],
  ['podInfoOnMount', true, 'the driver does not learn which pod a volume is for'],
  ['fsGroupPolicy', 'None', 'the kubelet changes the owner of files that pods share'],
  ['requiresRepublish', false, 'an error can take the mount from a running pod'],
  ['seLinuxMount', false, 'the kubelet asks for SELinux mount options that the driver has not'],
]

/** What the API server takes when a field is not there. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  attachRequired: true,
  podInfoOnMount: false,
  fsGroupPolicy: 'ReadWriteOnceWithFSType',
  requiresRepublish: false,
  seLinuxMount: false,
}

/** Whether Kubernetes knows the driver, and treats it as it must be treated. */
export const csiDriver: ClusterCheck = {
  about: `whether the CSIDriver ${DRIVER_NAME} is right`,
  needs: 'get csidrivers.storage.k8s.io',
  async run({ view }) {
    const driver = await view.get(`/apis/storage.k8s.io/v1/csidrivers/${DRIVER_NAME}`)
    if (driver === undefined) {
      return [fail(`There is no CSIDriver ${DRIVER_NAME}`, reapply())]
    }
    const spec = objectAt(driver, 'spec')
    const findings: CheckFinding[] = FIELDS.flatMap(([field, wanted, otherwise]) => {
      const found = spec?.[field] ?? DEFAULTS[field]
      if (found === wanted) return []
      const message = `The CSIDriver ${DRIVER_NAME} has ${field}: ${found}; expected ${wanted}, or ${otherwise}`
      return [fail(message, reapply(driver))]
    })
    const modes = spec?.['volumeLifecycleModes']
    if (!Array.isArray(modes) || !modes.includes('Ephemeral')) {
      const message = `The CSIDriver ${DRIVER_NAME} lacks Ephemeral in volumeLifecycleModes: pods may not have its volumes`
      findings.push(fail(message, reapply(driver)))
    }
    return findings.length > 0 ? findings : [ok(`The CSIDriver ${DRIVER_NAME} is as it must be`)]
  },
}
