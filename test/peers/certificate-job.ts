import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { JsonObject } from '../../webhook/json.ts'
import { argsOf, at } from '../manifests/manifest-objects.ts'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import type { KubernetesApi } from './kubernetes-api.ts'

/** Runs what the Job that makes the certificate runs, as its account; gives the last line that it logs. */
export async function runCertificateJob(api: KubernetesApi, job: JsonObject): Promise<unknown> {
  await using directory = await temporaryDirectory()
  const account = directory.file('account')
  await mkdir(account)
  await copyFile(api.caFile, `${account}/ca.crt`)
  const token = await api.kubectl.in('oras-csi').run('create', 'token', 'oras-csi-certificate')
  await writeFile(`${account}/token`, token)
  const { all } = argsOf(Object(at(job, 'spec', 'template', 'spec', 'containers', 0)))
  await using program = startProcess({
    args: [...all, `--api-server=${api.url}`, `--account-directory=${account}`],
  })
  const { code } = await program.exited
  expect(code, program.output()).toBe(0)
  return program.lines.at(-1)?.json
}
