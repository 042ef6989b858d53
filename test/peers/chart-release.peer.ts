import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../webhook/json.ts'
import { at } from '../manifests/manifest-objects.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { runCertificateJob } from './certificate-job.ts'
import { type KubernetesApi, startKubernetesApi } from './kubernetes-api.ts'
import { CHART, helm } from './rendered.ts'

const why = await whyNoProgram('go', 'etcd')
/** Kubernetes is compiled once. */
const COMPILE_MS = 45 * 60_000
const VALUES = ['--set', 'certificate.source=self-signed', '--set', 'policy=default: deny']
const KINDS = [
  ...['deployments', 'daemonsets', 'jobs', 'cronjobs', 'services', 'secrets', 'configmaps'],
  ...['serviceaccounts', 'roles', 'rolebindings', 'networkpolicies', 'poddisruptionbudgets'],
  ...['resourcequotas', 'csidrivers', 'clusterroles', 'clusterrolebindings'],
  ...['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
  ...['validatingadmissionpolicies', 'validatingadmissionpolicybindings'],
].join(',')

let api: KubernetesApi

describe.skipIf(why !== undefined)(`a release of the chart${why ? ` (${why})` : ''}`, () => {
  let before: readonly string[]

  beforeAll(async () => {
    await helm('version')
    api = await startKubernetesApi()
    before = await names()
  }, COMPILE_MS)
  afterAll(() => api?.[Symbol.asyncDispose]())

  test('is installed, and says what to look at and what to do', async () => {
    const said = await released('install', CHART, '--create-namespace', ...VALUES)
    const notes = said.slice(said.indexOf('NOTES:'))
    expect(notes).toContain('kubectl -n oras-csi rollout status deployment/oras-csi-webhook\n')
    expect(notes).toContain('kubectl -n oras-csi-node rollout status daemonset/oras-csi-driver\n')
    expect(notes).toContain('renewed by the CronJob oras-csi-certificate')
    expect(notes).toContain('A policy says what pods may mount')
  })

  test('keeps certificate and trust when it is upgraded and rolled back, and its Job runs anew', async () => {
    const first = await onlyJob()
    await runCertificateJob(api, first)
    const made = await certificate()
    expect(made.bundles).toEqual([made.authorities, made.authorities])

    await released('upgrade', CHART, ...VALUES, '--set', 'image.tag=0.0.9')
    expect(await certificate()).toEqual(made)
    const second = await onlyJob()
    expect(at(second, 'metadata', 'name')).not.toBe(at(first, 'metadata', 'name'))
    expect(imageOf(second)).toMatch(/:0\.0\.9$/)

    // As docs/install.md says: what was set stays, here the certificate's source.
    const kept = ['--reset-then-reuse-values', '--set', 'image.tag=0.0.10']
    await released('upgrade', CHART, ...kept)
    expect(await certificate()).toEqual(made)
    expect(imageOf(await onlyJob())).toMatch(/:0\.0\.10$/)

    await released('rollback', '1')
    expect(await certificate()).toEqual(made)
    expect(imageOf(await onlyJob())).toBe(imageOf(first))
    await runCertificateJob(api, await onlyJob())
    expect(await certificate()).toEqual(made)
  })

  test('takes everything with it when it is uninstalled', async () => {
    await released('uninstall')
    expect(await names()).toEqual(before)
  })
})

/** Runs a command of Helm on the release. */
function released(command: string, ...args: readonly string[]): Promise<string> {
  const where = ['--namespace', 'oras-csi', '--kubeconfig', api.kubeconfig]
  return helm(command, 'oras-csi', ...args, ...where)
}

/** What {@link KINDS} there are in the namespaces of the release and of the cluster. */
async function names(): Promise<readonly string[]> {
  const text = await api.kubectl.run('get', KINDS, '--all-namespaces', '-o', 'name')
  return text.split('\n').sort()
}

async function onlyJob(): Promise<JsonObject> {
  const { items } = await api.kubectl.in('oras-csi').get('jobs')
  const running = items.filter(({ metadata }: JsonObject) => !Object(metadata).deletionTimestamp)
  expect(running).toHaveLength(1)
  return running[0]
}

function imageOf(job: JsonObject): unknown {
  return at(job, 'spec', 'template', 'spec', 'containers', 0, 'image')
}

async function certificate() {
  const { data } = await api.kubectl.in('oras-csi').get('secret', 'oras-csi-webhook-self-signed')
  const configurations = ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration']
  const bundles = await Promise.all(
    configurations.map(async (kind) => {
      const { webhooks } = await api.kubectl.get(kind, 'oras-csi')
      return webhooks[0].clientConfig.caBundle
    }),
  )
  return { cert: data['tls.crt'], key: data['tls.key'], authorities: data['ca.crt'], bundles }
}
