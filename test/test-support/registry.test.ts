import { request } from 'undici'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../common/oci/digest.ts'
import { artifact, directoryLayer, image, index, load, push } from '../support/artifact.ts'
import {
  corruptedContent,
  digestOfContent,
  generatedContent,
  resizedContent,
} from '../support/registry/content.ts'
import { startRegistry } from '../support/registry.ts'

const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello world' }] })
const BLOB = digestOf('hello world')

async function get(url: string, headers: Record<string, string> = {}, method = 'GET') {
  const response = await request(url, { headers, method: method as 'GET' })
  return {
    status: response.statusCode,
    headers: response.headers,
    body: await response.body.text(),
  }
}

describe('the registry', () => {
  test('serves what was pushed over HTTP, by tag and by digest', async () => {
    await using registry = await startRegistry()
    await push(registry.url, 'acme/app:v1', HELLO)
    for (const reference of ['v1', HELLO.digest]) {
      const answer = await get(`${registry.url}/v2/acme/app/manifests/${reference}`)
      expect(answer.status).toBe(200)
      expect(answer.headers['content-type']).toBe(HELLO.mediaType)
      expect(answer.headers['docker-content-digest']).toBe(HELLO.digest)
      expect(answer.body).toBe(HELLO.manifest.toString())
    }
    const blob = await get(`${registry.url}/v2/acme/app/blobs/${BLOB}`)
    expect([blob.status, blob.body, blob.headers['content-length']]).toEqual([
      200,
      'hello world',
      '11',
    ])
    const head = await get(`${registry.url}/v2/acme/app/manifests/v1`, {}, 'HEAD')
    expect([head.status, head.headers['content-length'], head.body]).toEqual([
      200,
      String(HELLO.manifest.length),
      '',
    ])
  })

  test.each([
    ['bytes=6-', 206, 'world', 'bytes 6-10/11'],
    ['bytes=0-4', 206, 'hello', 'bytes 0-4/11'],
    ['bytes=6-99', 206, 'world', 'bytes 6-10/11'],
    ['bytes=-3', 206, 'rld', 'bytes 8-10/11'],
    ['bytes=11-', 416, '', 'bytes */11'],
    ['bytes=5-2', 200, 'hello world', undefined],
    ['bytes=0-1,3-4', 200, 'hello world', undefined],
  ])('answers the range %s with %i', async (range, status, body, contentRange) => {
    await using registry = await startRegistry()
    load(registry, 'acme/app:v1', HELLO)
    const answer = await get(`${registry.url}/v2/acme/app/blobs/${BLOB}`, { range })
    expect(answer).toMatchObject({ status, body })
    expect(answer.headers['content-range']).toBe(contentRange)
    expect(answer.headers['content-length']).toBe(String(body.length))
    expect(registry.requests[0]).toMatchObject({ range, status, bytesSent: body.length })
  })

  test.each([
    ['/v2/acme/app/manifests/v2', 404, 'MANIFEST_UNKNOWN'],
    [`/v2/acme/app/blobs/${digestOf('')}`, 404, 'BLOB_UNKNOWN'],
    ['/v2/acme/app/blobs/sha256:ab', 400, 'DIGEST_INVALID'],
    ['/v2/other/tags/list', 404, 'NAME_UNKNOWN'],
    ['/v2/Upper/tags/list', 404, 'NAME_INVALID'],
    [`/v2/other/blobs/${BLOB}`, 404, 'BLOB_UNKNOWN'],
  ])('answers %s with %i %s', async (path, status, code) => {
    await using registry = await startRegistry()
    load(registry, 'acme/app:v1', HELLO)
    const answer = await get(registry.url + path)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body).errors).toMatchObject([{ code }])
  })

  test('hides a manifest from an Accept header that does not list its type', async () => {
    await using registry = await startRegistry()
    load(registry, 'acme/app:v1', HELLO)
    const url = `${registry.url}/v2/acme/app/manifests/v1`
    const docker = 'application/vnd.docker.distribution.manifest.v2+json'
    expect((await get(url, { accept: docker })).status).toBe(404)
    expect((await get(url, { accept: `${docker}, ${HELLO.mediaType};q=0.5` })).status).toBe(200)
  })

  test('takes a blob in chunks, in order only', async () => {
    await using registry = await startRegistry()
    const uploads = `${registry.url}/v2/acme/app/blobs/uploads/`
    const begun = await request(uploads, { method: 'POST' })
    const location = `${registry.url}${begun.headers['location']}`
    const patch = (body: string, range: string) =>
      request(location, { method: 'PATCH', body, headers: { 'content-range': range } })
    expect((await patch('hello ', '0-5')).statusCode).toBe(202)
    const early = await patch('rld', '8-10')
    expect([early.statusCode, early.headers['range']]).toEqual([416, '0-5'])
    const state = await get(location)
    expect([state.status, state.headers['range']]).toEqual([204, '0-5'])
    const done = await request(`${location}?digest=${BLOB}`, { method: 'PUT', body: 'world' })
    expect([done.statusCode, done.headers['docker-content-digest']]).toEqual([201, BLOB])
    expect((await get(`${registry.url}/v2/acme/app/blobs/${BLOB}`)).body).toBe('hello world')
  })

  test('takes a blob in one request, and refuses one with another digest', async () => {
    await using registry = await startRegistry()
    const url = `${registry.url}/v2/acme/app/blobs/uploads/?digest=${BLOB}`
    expect((await request(url, { method: 'POST', body: 'hello moon!' })).statusCode).toBe(400)
    expect((await request(url, { method: 'POST', body: 'hello world' })).statusCode).toBe(201)
  })

  test('mounts a blob from another repository, or begins an upload when it is not there', async () => {
    await using registry = await startRegistry()
    load(registry, 'acme/app:v1', HELLO)
    const mount = (from: string) =>
      request(`${registry.url}/v2/acme/copy/blobs/uploads/?mount=${BLOB}&from=${from}`, {
        method: 'POST',
      })
    expect((await mount('acme/none')).statusCode).toBe(202)
    expect((await mount('acme/app')).statusCode).toBe(201)
    expect((await get(`${registry.url}/v2/acme/copy/blobs/${BLOB}`)).status).toBe(200)
  })

  test('refuses a manifest under a digest that is not its own', async () => {
    await using registry = await startRegistry()
    const answer = await request(`${registry.url}/v2/acme/app/manifests/${BLOB}`, {
      method: 'PUT',
      body: HELLO.manifest,
      headers: { 'content-type': HELLO.mediaType },
    })
    expect([answer.statusCode, await answer.body.json()]).toMatchObject([
      400,
      { errors: [{ code: 'DIGEST_INVALID' }] },
    ])
  })

  test('lists tags in pages', async () => {
    await using registry = await startRegistry()
    for (const tag of ['b', 'a', 'c']) load(registry, `acme/app:${tag}`, HELLO)
    const first = await get(`${registry.url}/v2/acme/app/tags/list?n=2`)
    expect(JSON.parse(first.body)).toEqual({ name: 'acme/app', tags: ['a', 'b'] })
    expect(first.headers['link']).toBe('</v2/acme/app/tags/list?n=2&last=b>; rel="next"')
    const second = await get(`${registry.url}/v2/acme/app/tags/list?n=2&last=b`)
    expect([JSON.parse(second.body).tags, second.headers['link']]).toEqual([['c'], undefined])
  })

  test('takes an index with its images, a directory layer and a tag that moves', async () => {
    await using registry = await startRegistry()
    const arm = { os: 'linux', architecture: 'arm64', variant: 'v8' }
    const children = [
      image({ layers: [Buffer.alloc(1024)] }),
      image({ layers: [Buffer.alloc(512)], compression: 'zstd', platform: arm }),
    ]
    const all = index(children)
    await push(registry.url, 'acme/app:v1', all)
    await push(
      registry.url,
      'acme/app:v1',
      artifact({ layers: [directoryLayer('site', [{ path: 'index.html', content: '<p>' }])] }),
    )
    await push(registry.url, 'acme/app:multi', all)
    const listed = JSON.parse((await get(`${registry.url}/v2/acme/app/manifests/multi`)).body)
    expect(listed.manifests.map((entry: { platform: unknown }) => entry.platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      arm,
    ])
    for (const child of children) {
      expect((await get(`${registry.url}/v2/acme/app/manifests/${child.digest}`)).status).toBe(200)
    }
    const moved = JSON.parse((await get(`${registry.url}/v2/acme/app/manifests/v1`)).body)
    expect(moved.layers[0].annotations['io.deis.oras.content.unpack']).toBe('true')
  })

  test('counts and forgets requests, and removes what it holds', async () => {
    await using registry = await startRegistry()
    load(registry, 'acme/app:v1', HELLO)
    await get(`${registry.url}/v2/acme/app/blobs/${BLOB}`)
    expect(registry.count('GET', '/v2/*/blobs/*')).toBe(1)
    expect(registry.count('HEAD', '/v2/*/blobs/*')).toBe(0)
    expect(registry.count(undefined, /blobs/)).toBe(1)
    registry.clearRequests()
    expect(registry.count()).toBe(0)
    expect(registry.remove('acme/app', 'v1')).toBe(true)
    expect((await get(`${registry.url}/v2/acme/app/manifests/v1`)).status).toBe(404)
    expect((await get(`${registry.url}/v2/acme/app/manifests/${HELLO.digest}`)).status).toBe(200)
    expect(registry.remove('acme/app', BLOB)).toBe(true)
    expect((await get(`${registry.url}/v2/acme/app/blobs/${BLOB}`)).status).toBe(404)
  })

  test('closes connections in mid-answer when it is disposed of', async () => {
    const registry = await startRegistry()
    load(registry, 'acme/app:v1', HELLO)
    const gate = registry.hold({})
    const pending = get(`${registry.url}/v2/acme/app/blobs/${BLOB}`).catch((error) => error.code)
    await gate.arrived
    await registry[Symbol.asyncDispose]()
    expect(await pending).toBe('UND_ERR_SOCKET')
  })
})

describe('generated content', () => {
  const content = generatedContent(3 * 1024 * 1024 + 5)

  test('is the same however it is cut', async () => {
    const whole = Buffer.from(content.slice(0, content.size))
    for (const [start, end] of [
      [0, 4],
      [3, 1024 * 1024 + 3],
      [1024 * 1024 - 1, 1024 * 1024 + 9],
      [1024 * 1024 + 4, 3 * 1024 * 1024 + 5],
    ] as const) {
      expect(Buffer.compare(content.slice(start, end), whole.subarray(start, end))).toBe(0)
    }
    expect(digestOfContent(content)).toBe(digestOf(whole))
    expect(digestOfContent(generatedContent(content.size, 2))).not.toBe(digestOf(whole))
  })

  test('is served without being held', async () => {
    await using registry = await startRegistry()
    const digest = registry.addBlob('acme/big', content)
    const { body } = await request(`${registry.url}/v2/acme/big/blobs/${digest}`)
    expect(digestOf(new Uint8Array(await body.arrayBuffer()))).toBe(digest)
  })

  test('differs in one bit when corrupted, and in length when resized', () => {
    const bytes = corruptedContent(content, 7).slice(5, 9)
    expect([...bytes].map((byte, i) => byte ^ (content.slice(5, 9)[i] ?? 0))).toEqual([0, 0, 1, 0])
    expect(resizedContent(content, -5).size).toBe(3 * 1024 * 1024)
    expect(resizedContent(content, 2).slice(content.size, content.size + 2)).toEqual(
      Buffer.alloc(2),
    )
  })
})
