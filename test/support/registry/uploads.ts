import { digestAlgorithm, digestOf, isDigest } from '../../../common/oci/digest.ts'
import { type Answer, emptyAnswer, errorAnswer, notAllowed } from './answer.ts'
import { contentOf } from './content.ts'
import type { RouteRequest } from './route-request.ts'
import type { Store, Upload } from './store.ts'

/** Answers `/v2/<repository>/blobs/uploads/<id>`. @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs */
export async function routeUpload(
  store: Store,
  repository: string,
  id: string,
  request: RouteRequest,
): Promise<Answer> {
  if (id === '') {
    return request.method === 'POST' ? begin(store, repository, request) : notAllowed()
  }
  const upload = store.upload(repository, id)
  if (upload === undefined) {
    return errorAnswer(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry')
  }
  switch (request.method) {
    case 'GET':
      return progress(204, repository, id, upload)
    case 'PATCH': {
      const chunk = await request.body()
      const start = /^([0-9]+)-[0-9]+$/.exec(request.contentRange ?? '')?.[1]
      if (start !== undefined && Number(start) !== upload.size) {
        return progress(416, repository, id, upload)
      }
      append(upload, chunk)
      return progress(202, repository, id, upload)
    }
    case 'PUT': {
      append(upload, await request.body())
      store.endUpload(id)
      return finish(store, repository, Buffer.concat(upload.chunks), request.query.get('digest'))
    }
    case 'DELETE':
      store.endUpload(id)
      return emptyAnswer(204)
    default:
      return notAllowed()
  }
}

async function begin(store: Store, repository: string, request: RouteRequest): Promise<Answer> {
  const mount = request.query.get('mount')
  const from = request.query.get('from')
  if (mount !== null && from !== null && isDigest(mount) && request.mayPull(from)) {
    const content = store.blob(from, mount)
    if (content !== undefined) {
      store.addBlob(repository, mount, content)
      return created(repository, mount)
    }
  }
  const digest = request.query.get('digest')
  if (digest !== null) return finish(store, repository, await request.body(), digest)
  const id = store.beginUpload(repository)
  return emptyAnswer(202, { location: `/v2/${repository}/blobs/uploads/${id}`, range: '0-0' })
}

function finish(store: Store, repository: string, bytes: Buffer, digest: string | null): Answer {
  if (digest === null || !isDigest(digest)) {
    return errorAnswer(400, 'DIGEST_INVALID', 'missing or invalid digest')
  }
  const actual = digestOf(bytes, digestAlgorithm(digest))
  if (actual !== digest) {
    return errorAnswer(400, 'DIGEST_INVALID', `the content hashes to ${actual}`)
  }
  store.addBlob(repository, digest, contentOf(bytes))
  return created(repository, digest)
}

function created(repository: string, digest: string): Answer {
  return emptyAnswer(201, {
    location: `/v2/${repository}/blobs/${digest}`,
    'docker-content-digest': digest,
  })
}

function append(upload: Upload, chunk: Buffer): void {
  upload.chunks.push(chunk)
  upload.size += chunk.length
}

function progress(status: number, repository: string, id: string, upload: Upload): Answer {
  const headers = {
    location: `/v2/${repository}/blobs/uploads/${id}`,
    range: `0-${Math.max(0, upload.size - 1)}`,
  }
  return status === 204 ? { status, headers } : emptyAnswer(status, headers)
}
