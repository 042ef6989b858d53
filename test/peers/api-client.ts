import { join } from 'node:path'
import { buildGoTools } from '../cluster/parts/go-tools.ts'
import { startProcess } from '../support/process.ts'
import type { KubernetesApi } from './kubernetes-api.ts'

/** What the API server answered. */
export interface ApiAnswer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into objects of every kind, and fail where something is not there
  readonly body: any
}

/** Asks the API server over HTTP, as its admin: in a loop, kubectl would spend its time on starting. Disposing ends it. */
export interface ApiClient extends AsyncDisposable {
  /** Creates a pod in a namespace, e.g. with `?dryRun=All`. */
  createPod(namespace: string, pod: object, query?: string): Promise<ApiAnswer>
}

/** Starts `kubectl proxy`, which adds the admin's certificate to requests. */
export async function startApiClient({ kubeconfig }: KubernetesApi): Promise<ApiClient> {
  const kubectl = join(await buildGoTools('kubernetes-1.36'), 'kubectl')
  const proxy = startProcess({
    command: kubectl,
    args: ['--kubeconfig', kubeconfig, 'proxy', '--port=0'],
  })
  const { text } = await proxy.waitForLine((line) => SERVING.test(line.text), 60_000)
  const url = `http://${SERVING.exec(text)?.[1]}`
  return {
    createPod: async (namespace, pod, query = '') => {
      const response = await fetch(`${url}/api/v1/namespaces/${namespace}/pods${query}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(pod),
      })
      return { status: response.status, body: await response.json() }
    },
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  }
}

const SERVING = /^Starting to serve on (\S+)$/
