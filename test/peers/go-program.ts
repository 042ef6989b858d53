import { join } from 'node:path'
import { buildGo } from '../support/go-build.ts'

/** The Go modules beside this file, and the package of each that is a program of the module's name. */
const PACKAGES = {
  'oras-go': '.',
  'json-patch': '.',
  registry: 'github.com/distribution/distribution/v3/cmd/registry',
  'csi-sanity': 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
  actionlint: 'github.com/rhysd/actionlint/cmd/actionlint',
  helm: 'helm.sh/helm/v3/cmd/helm',
  kustomize: 'sigs.k8s.io/kustomize/kustomize/v5',
  'ecr-credential-provider': 'k8s.io/cloud-provider-aws/cmd/ecr-credential-provider',
} as const

/** A module beside this file. */
export type GoModule = keyof typeof PACKAGES

/**
 * Builds the program of a Go module, or finds the one that was built of the same sources and versions, and gives its path.
 *
 * @throws when it does not build, with what the compiler said
 */
export async function buildGoProgram(module: GoModule): Promise<string> {
  const directory = new URL(module, import.meta.url).pathname
  const built = await buildGo({ name: module, directory, packages: PACKAGES[module] })
  return join(built, module)
}
