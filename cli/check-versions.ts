import { type JsonObject, objectsAt, textAt } from '../webhook/json.ts'
import { objectAlong } from '../webhook/workload-template.ts'
import type { ClusterCheck } from './check-context.ts'
import { type CheckFinding, ok, warn } from './check-finding.ts'
import {
  driverDaemonSets,
  nameOf,
  namespaceOf,
  reapply,
  webhookDeployment,
} from './check-installation.ts'

/** Whether webhook, driver and this program are of one version. */
export const versions: ClusterCheck = {
  about: 'whether webhook and driver have the same version',
  needs: 'list deployments.apps,daemonsets.apps',
  async run({ view, version }) {
    const deployment = await webhookDeployment(view)
    const parts = [
      ...(deployment === undefined ? [] : [deployment]),
      ...(await driverDaemonSets(view)),
    ]
    const images = parts.map((part) => ({ part, image: imageOf(part) }))
    const [first] = images
    if (first === undefined) return []
    const findings: CheckFinding[] = []
    if (images.some(({ image }) => image !== first.image)) {
      const list = images.map(({ part, image }) => `${namespaceOf(part)}/${nameOf(part)} ${image}`)
      findings.push(
        warn(`Webhook and driver have different images: ${list.join(', ')}`, reapply(first.part)),
      )
    }
    const tag = tagOf(first.image)
    if (findings.length === 0 && tag !== undefined && tag !== version) {
      const todo = `npm install --global oras-csi@${tag} (or upgrade the cluster)`
      findings.push(warn(`The cluster has version ${tag}, this program ${version}`, todo))
    }
    return findings.length > 0 ? findings : [ok(`Webhook and driver run ${first.image}`)]
  },
}

function imageOf(part: JsonObject): string {
  const spec = objectAlong(part, ['spec', 'template', 'spec'])
  return textAt(objectsAt(spec, 'containers')[0], 'image') ?? 'no image'
}

/** @returns undefined for an image that only a digest names, and for a tag that is no version, such as `latest` */
function tagOf(image: string): string | undefined {
  return /:v?([0-9]+\.[0-9]+\.[0-9]+[^@/]*)(?:@.*)?$/.exec(image)?.[1]
}
