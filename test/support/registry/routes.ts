import type { Digest } from '../../../common/oci/digest.ts'
import { digestAlgorithm, digestOf, isDigest } from '../../../common/oci/digest.ts'
import { type Answer, emptyAnswer, errorAnswer, jsonAnswer, notAllowed } from './answer.ts'
import type { Action } from './authority.ts'
import { contentOf } from './content.ts'
import type { RouteRequest } from './route-request.ts'
import type { Store } from './store.ts'
import { routeUpload } from './uploads.ts'

/** What a path of the API names. */
export type Target =
  | { readonly kind: 'base' }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  /** `id` is empty where an upload begins. */
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'unknown' }

const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const MANIFEST_TYPES = /^application\/(?:vnd\.oci\.|vnd\.docker\.distribution\.)/

/** @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#endpoints */
export function parseTarget(path: string): Target {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' }
  const match =
    /^\/v2\/(.+?)\/(?:(manifests)\/([^/]+)|blobs\/(uploads)\/([^/]*)|(blobs)\/([^/]+)|(tags)\/list)$/.exec(
      decodeURIComponent(path),
    )
  const repository = match?.[1] ?? ''
  if (match === null || !REPOSITORY.test(repository)) return { kind: 'unknown' }
  if (match[2] !== undefined) return { kind: 'manifest', repository, reference: match[3] ?? '' }
  if (match[4] !== undefined) return { kind: 'upload', repository, id: match[5] ?? '' }
  if (match[6] !== undefined) return { kind: 'blob', repository, digest: match[7] ?? '' }
  return { kind: 'tags', repository }
}

/** What a request needs to be allowed to do. */
export function actionOf(method: string): Action {
  return method === 'GET' || method === 'HEAD' ? 'pull' : 'push'
}

/** Answers a request of the API that was let in. */
export async function route(store: Store, target: Target, request: RouteRequest): Promise<Answer> {
  switch (target.kind) {
    case 'base':
      return jsonAnswer(200, {})
    case 'manifest':
      return routeManifest(store, target.repository, target.reference, request)
    case 'blob':
      return routeBlob(store, target.repository, target.digest, request.method)
    case 'upload':
      return routeUpload(store, target.repository, target.id, request)
    case 'tags':
      return listTags(store, target.repository, request.query)
    case 'unknown':
      return errorAnswer(404, 'NAME_INVALID', 'no such endpoint, or invalid repository name')
  }
}

function routeBlob(store: Store, repository: string, digest: string, method: string): Answer {
  if (!isDigest(digest)) return errorAnswer(400, 'DIGEST_INVALID', 'invalid digest')
  const unknown = errorAnswer(404, 'BLOB_UNKNOWN', 'blob unknown to registry')
  switch (method) {
    case 'GET':
    case 'HEAD': {
      const content = store.blob(repository, digest)
      if (content === undefined) return unknown
      return {
        status: 200,
        headers: {
          'content-type': 'application/octet-stream',
          'docker-content-digest': digest,
          'accept-ranges': 'bytes',
          etag: `"${digest}"`,
        },
        content,
      }
    }
    case 'DELETE':
      return store.removeBlob(repository, digest) ? emptyAnswer(202) : unknown
    default:
      return notAllowed()
  }
}

async function routeManifest(
  store: Store,
  repository: string,
  reference: string,
  request: RouteRequest,
): Promise<Answer> {
  if (!isDigest(reference) && !TAG.test(reference)) {
    return errorAnswer(400, 'MANIFEST_INVALID', 'invalid tag or digest')
  }
  const unknown = errorAnswer(404, 'MANIFEST_UNKNOWN', 'manifest unknown')
  switch (request.method) {
    case 'GET':
    case 'HEAD': {
      const manifest = store.manifest(repository, reference)
      if (manifest === undefined) return unknown
      if (!accepts(request.accept, manifest.mediaType)) {
        const message = `manifest is ${manifest.mediaType}, which the Accept header does not list`
        return errorAnswer(404, 'MANIFEST_UNKNOWN', message)
      }
      return {
        status: 200,
        headers: {
          'content-type': manifest.mediaType,
          'docker-content-digest': manifest.digest,
          etag: `"${manifest.digest}"`,
        },
        content: contentOf(manifest.bytes),
      }
    }
    case 'PUT':
      return putManifest(store, repository, reference, request)
    case 'DELETE':
      return store.removeManifest(repository, reference) ? emptyAnswer(202) : unknown
    default:
      return notAllowed()
  }
}

/** Takes any manifest of a known type, also one whose blobs are missing or whose JSON is wrong: attacks are pushed here. */
async function putManifest(
  store: Store,
  repository: string,
  reference: string,
  request: RouteRequest,
): Promise<Answer> {
  const bytes = await request.body()
  const mediaType = request.contentType ?? ''
  if (!MANIFEST_TYPES.test(mediaType)) {
    return errorAnswer(400, 'MANIFEST_INVALID', `not a manifest type: "${mediaType}"`)
  }
  const digest: Digest = digestOf(
    bytes,
    isDigest(reference) ? digestAlgorithm(reference) : undefined,
  )
  if (isDigest(reference) && reference !== digest) {
    return errorAnswer(400, 'DIGEST_INVALID', `the manifest hashes to ${digest}`)
  }
  store.addManifest(repository, reference, { mediaType, digest, bytes })
  return emptyAnswer(201, {
    location: `/v2/${repository}/manifests/${digest}`,
    'docker-content-digest': digest,
  })
}

/** Media ranges without weights; no header, an empty one and wildcards accept everything. */
function accepts(header: string | undefined, mediaType: string): boolean {
  if (header === undefined || header === '') return true
  const ranges = header.split(',').map((range) => range.split(';')[0]?.trim())
  return ranges.some((range) => range === mediaType || range === '*/*' || range === 'application/*')
}

function listTags(store: Store, repository: string, query: URLSearchParams): Answer {
  const all = store.tags(repository)
  if (all === undefined) return errorAnswer(404, 'NAME_UNKNOWN', 'repository name not known')
  const last = query.get('last')
  const after = last === null ? all : all.filter((tag) => tag > last)
  const limit = query.get('n')
  const tags = limit === null ? after : after.slice(0, Number(limit))
  const more = tags.length < after.length && tags.length > 0
  const next = `/v2/${repository}/tags/list?n=${limit}&last=${tags.at(-1)}`
  return jsonAnswer(200, { name: repository, tags }, more ? { link: `<${next}>; rel="next"` } : {})
}
