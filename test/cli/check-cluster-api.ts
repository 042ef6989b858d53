import { writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'
import { type JsonObject, objectAt, textAt } from '../../webhook/json.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** What the API server says to a trial pod, or to anything in place of its work. */
export interface Said {
  readonly status: number
  readonly body: JsonObject
}

/** A Kubernetes API server that is read: objects by page, selectors, metadata alone; a create answers what it is told to. Disposing ends it. */
export interface ClusterApi extends AsyncDisposable {
  readonly url: string
  /** For its user `viewer`, with a token. */
  readonly kubeconfig: string
  /** PEM */
  readonly ca: string
  /** `METHOD path` of each request, in order. */
  readonly calls: readonly string[]
}

export interface ClusterApiOptions {
  readonly objects: readonly JsonObject[]
  readonly version?: JsonObject
  /** What a dry run answers; by default the object as a webhook has composed it. */
  readonly trial?: Said
  /** Plurals that the user may not see, e.g. `nodes`. */
  readonly forbidden?: readonly string[]
  /** Answers in place of the server; by path. */
  readonly instead?: (path: string) => Said | undefined
  /** Objects on a page at most, whatever a client asks for; default 2, so that every list has several. */
  readonly page?: number
}

const TOKEN = 'check-token'
const VERSION = { major: '1', minor: '34', gitVersion: 'v1.34.2' }

export async function startClusterApi(options: ClusterApiOptions): Promise<ClusterApi> {
  await using stack = new AsyncDisposableStack()
  const authority = await createCertificateAuthority()
  const { cert, key } = await authority.issue({ names: ['127.0.0.1'] })
  const directory = stack.use(await temporaryDirectory())
  const calls: string[] = []
  const server = createServer({ cert, key }, (request, response) => {
    calls.push(`${request.method} ${request.url}`)
    void serve(options, request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stack.defer(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  const url = `https://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`
  const kubeconfig = directory.file('kubeconfig')
  await writeFile(directory.file('ca.crt'), authority.cert)
  await writeFile(kubeconfig, kubeconfigOf({ url, user: { token: TOKEN } }))
  const made = stack.move()
  return {
    ...{ url, kubeconfig, calls, ca: authority.cert },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** A kubeconfig with one context, `test`; the authority lies beside it. */
export function kubeconfigOf(options: { readonly url: string; readonly user: object }): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'viewer' } }],
    clusters: [
      { name: 'test', cluster: { server: options.url, 'certificate-authority': 'ca.crt' } },
    ],
    users: [{ name: 'viewer', user: options.user }],
  })
}

async function serve(
  options: ClusterApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await text(request)
  const said = answer(options, request, body)
  response.writeHead(said.status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(said.body))
}

function answer(options: ClusterApiOptions, request: IncomingMessage, body: string): Said {
  const url = new URL(request.url ?? '/', 'https://api')
  const instead = options.instead?.(url.pathname)
  if (instead !== undefined) return instead
  if (request.headers.authorization !== `Bearer ${TOKEN}`) return failure(401, 'Unauthorized')
  if (url.pathname === '/version') return { status: 200, body: options.version ?? VERSION }
  const match =
    /^\/(?:api|apis\/(?<group>[^/]+))\/(?<version>[^/]+)(?:\/namespaces\/(?<namespace>[^/]+)(?=\/))?\/(?<plural>[^/]+)(?:\/(?<name>[^/]+))?$/.exec(
      url.pathname,
    )
  const { group, version = '', namespace, plural = '', name } = match?.groups ?? {}
  if (options.forbidden?.includes(plural)) {
    const verb = name === undefined ? (request.method === 'POST' ? 'create' : 'list') : 'get'
    const scope =
      namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`
    return failure(
      403,
      `${plural} is forbidden: User "viewer" cannot ${verb} resource "${plural}" in API group "${group ?? ''}" ${scope}`,
    )
  }
  if (request.method === 'POST') return trial(options, url, body)
  const apiVersion = group === undefined ? version : `${group}/${version}`
  const found = options.objects.filter(
    (object) =>
      object['apiVersion'] === apiVersion &&
      pluralOf(textAt(object, 'kind') ?? '') === plural &&
      (namespace === undefined || textAt(objectAt(object, 'metadata'), 'namespace') === namespace),
  )
  if (name !== undefined) {
    const one = found.find(
      (object) => textAt(objectAt(object, 'metadata'), 'name') === decodeURIComponent(name),
    )
    return one === undefined
      ? failure(404, `${plural} "${name}" not found`)
      : { status: 200, body: one }
  }
  return list(found.filter(selected(url)), { apiVersion, url, page: options.page ?? 2, request })
}

function list(
  items: readonly JsonObject[],
  options: {
    readonly apiVersion: string
    readonly url: URL
    readonly page: number
    readonly request: IncomingMessage
  },
): Said {
  const { apiVersion, url, page, request } = options
  const isPartial = request.headers.accept?.includes('as=PartialObjectMetadataList') === true
  const start = Number(url.searchParams.get('continue') ?? 0)
  const end = start + Math.min(page, Number(url.searchParams.get('limit')))
  const kind = textAt(items[0], 'kind') ?? ''
  const body = {
    apiVersion: isPartial ? 'meta.k8s.io/v1' : apiVersion,
    kind: isPartial ? 'PartialObjectMetadataList' : `${kind}List`,
    metadata: end < items.length ? { continue: String(end) } : {},
    // As the real one: what a list holds does not say what it is.
    items: items
      .slice(start, end)
      .map(({ apiVersion: _, kind: __, ...rest }) =>
        isPartial ? { metadata: rest['metadata'] } : rest,
      ),
  }
  return { status: 200, body }
}

function selected(url: URL): (object: JsonObject) => boolean {
  const pairs = (parameter: string) =>
    (url.searchParams.get(parameter) ?? '')
      .split(',')
      .filter((pair) => pair !== '')
      .map((pair) => pair.split('='))
  return (object) => {
    const labels = objectAt(objectAt(object, 'metadata'), 'labels')
    return (
      pairs('labelSelector').every(([key = '', value]) => labels?.[key] === value) &&
      pairs('fieldSelector').every(([key = '', value]) => object[key] === value)
    )
  }
}

function trial(options: ClusterApiOptions, url: URL, body: string): Said {
  if (url.search !== '?dryRun=All') throw new Error(`a trial that stays: ${url.search}`)
  if (options.trial !== undefined) return options.trial
  const pod: { metadata: { annotations: Record<string, string> } } = JSON.parse(body)
  pod.metadata.annotations['oras.land/status'] = '{"volumes":["oras-check"]}'
  return { status: 201, body: { ...pod } }
}

/** A Status, as the API server answers. */
export function failure(status: number, message: string): Said {
  return { status, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', message } }
}

function pluralOf(kind: string): string {
  const lower = kind.toLowerCase()
  return lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`
}
