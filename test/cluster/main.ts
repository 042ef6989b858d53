import { parseArgs } from 'node:util'
import { down, KUBERNETES_VERSIONS, status, up } from './cluster.ts'
import { DEFAULT_ROOT, placesIn } from './places.ts'

const USAGE = `Usage: npm run cluster -- COMMAND [--kubernetes ${KUBERNETES_VERSIONS.join('|')}]

A Kubernetes cluster of one node on this machine, with cert-manager and the image of this checkout.

  up          starts it from nothing; the first time builds Kubernetes (minutes) and images
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

switch (kubernetes === undefined ? undefined : positionals[0]) {
  case 'up':
    await up(places, { kubernetes: kubernetes ?? KUBERNETES_VERSIONS[0], log: print })
    print(`
export KUBECONFIG=${places.kubeconfig} PATH=${places.bin}:$PATH
kubectl apply -k manifests/
kubectl -n oras-csi rollout status deployment/oras-csi-webhook
kubectl -n oras-csi-node rollout status daemonset/oras-csi-driver

npm run cluster -- down   # when you are done`)
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
