import { parseArgs } from 'node:util'
import { down, KUBERNETES_VERSIONS, status, up } from './cluster.ts'
import { firstSteps, prepareFirstSteps } from './first-steps.ts'
import { DEFAULT_ROOT, placesIn } from './places.ts'
import { install } from './support/install.ts'
import { createKubectl } from './support/kubectl.ts'
import { timed } from './timed.ts'

const USAGE = `Usage: npm run cluster -- COMMAND [--kubernetes ${KUBERNETES_VERSIONS.join('|')}]

A Kubernetes cluster of one node on this machine, with cert-manager, this checkout's image and manifests, and a registry.

  up          starts it from nothing; the first time builds Kubernetes and images (a quarter of an hour)
  down        stops it and removes everything of it
  status      says what runs
  kubeconfig  prints the path of its kubeconfig

Its state is in ${DEFAULT_ROOT}, or in the directory that ORAS_CSI_CLUSTER_DIR names. Linux, root.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { kubernetes: { type: 'string', default: KUBERNETES_VERSIONS[0] } },
})
const kubernetes = KUBERNETES_VERSIONS.find((version) => version === values.kubernetes)
const root = process.env['ORAS_CSI_CLUSTER_DIR'] || DEFAULT_ROOT
const places = placesIn(root)
const print = (text: string) => process.stdout.write(`${text}\n`)
const step = timed(print)

switch (kubernetes === undefined ? undefined : positionals[0]) {
  case 'up':
    await up(places, { kubernetes: kubernetes ?? KUBERNETES_VERSIONS[0], log: print })
    await step('manifests/ applied and ready', () => install(createKubectl(places)))
    await step('registry', () => prepareFirstSteps(places))
    print(`
oras-csi is installed (kubectl apply -k manifests/). What to type next, in this directory:

${firstSteps(places)}
# "npm run cluster -- up" again starts anew, with the code as it is then; when you are done:
npm run cluster -- down`)
    break
  case 'down':
    await down(places)
    break
  case 'status':
    print(await status(places))
    break
  case 'kubeconfig':
    print(places.kubeconfig)
    break
  default:
    process.stderr.write(USAGE)
    process.exitCode = 2
}
