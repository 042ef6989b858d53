import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readManifestFile } from '../../cli/manifest-file.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { run } from '../support/command.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { buildGoProgram } from './go-program.ts'

/** The shipped manifests with components, as the real kustomize renders them. */
export async function kustomized(...components: readonly string[]): Promise<readonly JsonObject[]> {
  const kustomize = await buildGoProgram('kustomize')
  await using directory = await temporaryDirectory()
  await mkdir(directory.file('cluster'))
  // As a reader does: beside a checkout, which kustomize wants to reach by a relative path.
  await symlink(CHECKOUT, directory.file('oras-csi'))
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: ['../oras-csi/manifests'],
    components: components.map((name) => `../oras-csi/manifests/components/${name}`),
  }
  await writeFile(directory.file('cluster/kustomization.yaml'), JSON.stringify(kustomization))
  return objectsOf(await run(kustomize, ['build', directory.file('cluster')]))
}

export const CHART = join(CHECKOUT, 'chart')

/** The shipped chart, as the real Helm renders it. `args` are those of `helm template`, e.g. `--set openshift=true`. */
export async function templated(...args: readonly string[]): Promise<readonly JsonObject[]> {
  const program = await buildGoProgram('helm')
  const command = ['template', 'oras-csi', CHART, '--namespace', 'oras-csi', ...args]
  return objectsOf(await run(program, command))
}

/** Runs the real Helm, and gives what it wrote; where it fails, that is what it says. */
export async function helm(...args: readonly string[]): Promise<string> {
  const program = await buildGoProgram('helm')
  return run(program, args).catch((error: unknown) => String(error))
}

async function objectsOf(text: string): Promise<readonly JsonObject[]> {
  await using directory = await temporaryDirectory()
  await writeFile(directory.file('rendered.yaml'), text)
  return (await readManifestFile(directory.file('rendered.yaml'), async () => '')).objects
}
