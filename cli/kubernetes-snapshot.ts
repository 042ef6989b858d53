import { CodedError } from '../common/errors.ts'
import { type JsonObject, objectAt, objectsAt, textAt } from '../webhook/json.ts'
import type { KubernetesAnswer, KubernetesClient } from './kubernetes-client.ts'
import { printable } from './printable.ts'

/** A cluster as it is just now: each thing is asked for once, however many want to know it. */
export interface KubernetesSnapshot {
  readonly server: string
  readonly context: string
  /** @returns undefined when it is not there. @throws DENIED without the right to see it, UNAVAILABLE */
  get(path: string): Promise<JsonObject | undefined>
  /**
   * Lists, page by page; each object has apiVersion and kind, which the API leaves out in lists.
   *
   * @param path e.g. `/api/v1/pods?labelSelector=a%3Db`
   * @param part `metadata`: the objects' metadata alone, of which a cluster with many pods has little
   * @returns nothing where the cluster has no such kind
   * @throws DENIED without the right to see them, UNAVAILABLE
   */
  list(path: string, part?: 'metadata'): Promise<readonly JsonObject[]>
  /** Creates something without keeping it. @throws UNAVAILABLE */
  dryRun(path: string, object: object): Promise<KubernetesAnswer>
}

/** As kubectl asks. */
const PAGE = 500
/** A server that always has one more page must end, too. */
const MAX_PAGES = 2_000

const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json'

/** Looks at a cluster through a client. */
export function openSnapshot(client: KubernetesClient): KubernetesSnapshot {
  const known = new Map<string, Promise<unknown>>()
  const once = <T>(key: string, ask: () => Promise<T>): Promise<T> => {
    const asked = known.get(key) ?? ask()
    known.set(key, asked)
    return asked as Promise<T>
  }
  const readPages = async (path: string, accept?: string): Promise<readonly JsonObject[]> => {
    const items: JsonObject[] = []
    let next: string | undefined
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const query = `${path.includes('?') ? '&' : '?'}limit=${PAGE}`
      const more = next === undefined ? '' : `&continue=${encodeURIComponent(next)}`
      const answer = await client.send(
        `${path}${query}${more}`,
        accept === undefined ? {} : { accept },
      )
      const list = documentOf(answer, path)
      if (list === undefined) return items
      const kind = textAt(list, 'kind')?.replace(/List$/, '') ?? ''
      const apiVersion = textAt(list, 'apiVersion') ?? ''
      items.push(...objectsAt(list, 'items').map((item) => ({ ...item, apiVersion, kind })))
      next = textAt(objectAt(list, 'metadata'), 'continue')
      if (next === undefined) return items
    }
    throw new CodedError('UNAVAILABLE', `"${path}" has more than ${MAX_PAGES} pages`)
  }
  return {
    server: client.server,
    context: client.context,
    get: (path) => once(path, async () => documentOf(await client.send(path), path)),
    list: (path, part) =>
      once(`list ${part} ${path}`, () =>
        readPages(path, part === 'metadata' ? METADATA : undefined),
      ),
    dryRun: (path, object) => client.send(`${path}?dryRun=All`, { body: object }),
  }
}

function documentOf({ status, body, message }: KubernetesAnswer, path: string) {
  if (status === 200) return body
  if (status === 404) return undefined
  if (status === 403) throw new CodedError('DENIED', message)
  if (status === 401) {
    throw new CodedError(
      'UNAUTHENTICATED',
      printable(`The API server does not accept your credentials: ${message}`),
    )
  }
  throw new CodedError(
    'UNAVAILABLE',
    printable(`Cannot read "${path}": ${message} (status ${status})`),
  )
}
