import { textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import type { ClusterCheck } from './check-context.ts'
import { type CheckFinding, command, fail, ok, warn } from './check-finding.ts'
import { driverDaemonSets, namespaceOf, webhookPlace } from './check-installation.ts'

const LABEL = 'pod-security.kubernetes.io/enforce'

/** Whether Pod Security lets the driver mount, and holds the webhook to what it needs. */
export const podSecurity: ClusterCheck = {
  about: 'whether Pod Security is set for the namespaces',
  needs: 'get namespaces',
  async run({ view }) {
    const level = async (namespace: string): Promise<string | undefined> => {
      const object = await view.get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`)
      return textAt(objectAlong(object, ['metadata', 'labels']), LABEL)
    }
    const findings: CheckFinding[] = []
    const set = (namespace: string, wanted: string) =>
      command('kubectl', 'label', '--overwrite', 'namespace', namespace, `${LABEL}=${wanted}`)
    for (const namespace of new Set((await driverDaemonSets(view)).map(namespaceOf))) {
      const found = await level(namespace)
      const message = `Namespace ${namespace} of the driver has Pod Security ${found ?? 'of the cluster'}; expected privileged`
      const todo = set(namespace, 'privileged')
      if (found === undefined) findings.push(warn(`${message}, which it needs to mount`, todo))
      else if (found !== 'privileged') {
        findings.push(fail(`${message}: the driver's pods are refused`, todo))
      }
    }
    const { namespace } = await webhookPlace(view)
    const found = await level(namespace)
    if (found !== 'restricted') {
      const message = `Namespace ${namespace} of the webhook has Pod Security ${found ?? 'of the cluster'}; restricted would do`
      findings.push(warn(message, set(namespace, 'restricted')))
    }
    return findings.length > 0 ? findings : [ok('Pod Security is set for both namespaces')]
  },
}
