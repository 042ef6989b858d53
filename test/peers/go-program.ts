import { join } from 'node:path'
import { buildGo } from '../support/go-build.ts'

/** The Go modules beside this file, and the package of each that is a program of the module's name. */
const PACKAGES = {
  'oras-go': '.',
  'json-patch': '.',
  registry: '.',
  'csi-sanity': 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
  actionlint: 'github.com/rhysd/actionlint/cmd/actionlint',
  helm: 'helm.sh/helm/v3/cmd/helm',
  kustomize: 'sigs.k8s.io/kustomize/kustomize/v5',
  'ecr-credential-provider': 'k8s.io/cloud-provider-aws/cmd/ecr-credential-provider',
} as const

/** What the programs' own builds pass to the linker, where it matters. */
const LINKER_FLAGS: Readonly<Partial<Record<keyof typeof PACKAGES, string>>> = {
  // Without a cluster, Helm takes this version for that of the cluster; unset it is 1.20.
  helm: ['chartutil', 'lint/rules']
    .map((name) => `helm.sh/helm/v3/pkg/${name}.k8sVersion`)
    .map((name) => `-X ${name}Major=1 -X ${name}Minor=36`)
    .join(' '),
}

/** A module beside this file. */
export type GoModule = keyof typeof PACKAGES

/** All of them. */
export const GO_MODULES = Object.keys(PACKAGES) as readonly GoModule[]

/**
 * Builds the program of a Go module, or finds the one that was built of the same sources and versions, and gives its path.
 *
 * @throws when it does not build, with what the compiler said
 */
export async function buildGoProgram(module: GoModule): Promise<string> {
  const directory = new URL(module, import.meta.url).pathname
  const linkerFlags = LINKER_FLAGS[module]
  const built = await buildGo({
    ...{ name: module, directory, packages: PACKAGES[module] },
    ...(linkerFlags !== undefined && { linkerFlags }),
  })
  return join(built, module)
}
