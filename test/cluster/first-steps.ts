import { artifact, push } from '../support/artifact.ts'
import { LOCAL_REGISTRY, LOCAL_REGISTRY_URL, startLocalRegistry } from './node/local-registry.ts'
import type { Places } from './places.ts'
import { javaProgram } from './support/java-program.ts'

/** Starts what {@link firstSteps} uses beside a cluster with oras-csi: a registry with the artifact of manifests/examples/java.yaml. */
export async function prepareFirstSteps(places: Places): Promise<void> {
  await startLocalRegistry(places)
  const content = await javaProgram('hello.jar', '1.0')
  const layer = { title: 'hello.jar', mediaType: 'application/java-archive', content }
  await push(LOCAL_REGISTRY_URL, 'acme/hello-jar:v1', artifact({ layers: [layer] }))
}

/** What a person types next, in this checkout: a shell script, tested as such. */
export function firstSteps(places: Places): string {
  return `export KUBECONFIG=${places.kubeconfig} PATH=${places.bin}:$PATH

# A jar on a stock Java image. The jar is in the cluster's registry already.
sed 's|ghcr.io|${LOCAL_REGISTRY}|' manifests/examples/java.yaml | kubectl apply -f -
kubectl rollout status deployment/hello
curl --silent --retry 9 --retry-connrefused \\
  "$(kubectl get pods --selector app=hello --output 'jsonpath={.items[0].status.podIP}'):8080"; echo

# An artifact of your own, in a pod of your own. Where oras comes from: https://oras.land/docs/installation
oras push --plain-http ${LOCAL_REGISTRY}/me/readme:v1 README.md
kubectl run reader --image busybox:1.35 --annotations 'oras.land/artifacts=/docs: ${LOCAL_REGISTRY}/me/readme:v1' \\
  -- sleep 1000000
kubectl wait --for condition=Ready pod/reader --timeout 2m
kubectl exec reader -- head -n 1 /docs/README.md
`
}
