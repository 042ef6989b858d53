import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { digestHex, digestOf } from '../../common/oci/digest.ts'
import { artifact, type Built, image, index, push, writeLayout } from '../support/artifact.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startNode, type TestNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { NGINX, type Nginx, startNginx } from '../support/nginx.ts'
import { poll } from '../support/poll.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import {
  mountStallingFileSystem,
  whyNoStallingFileSystem,
} from '../support/stalling-file-system.ts'
import { startStaticFiles } from '../support/static-files.ts'
import { tarOf } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const whyNot = await whyNoMounts()
const whyNoNginx = whyNot ?? (await whyNoProgram(NGINX))
const whyNoFuse = whyNot ?? (await whyNoStallingFileSystem())
const MEBIBYTE = 1024 * 1024

/** The registry name that the layouts stand in for. */
const LAYOUTS = 'artifacts.example'
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })
const HELLO_2 = artifact({ layers: [{ title: 'hello.txt', content: 'hello v2' }] })

async function put(root: string, name: string, built: Built): Promise<void> {
  const [repository = '', tag = ''] = name.split(':')
  await mkdir(join(root, repository), { recursive: true })
  await writeLayout(join(root, repository), tag, built)
}

/** What the volume of a pod shows, after it was published; it is unpublished again. */
async function shown(
  driver: Awaited<ReturnType<TestNode['startDriver']>>,
  request: Awaited<ReturnType<TestNode['request']>>,
  file: string,
): Promise<Buffer> {
  await driver.csi.nodePublishVolume(request)
  const bytes = await readFile(`${request.target_path}/${file}`)
  await driver.csi.nodeUnpublishVolume(request)
  return bytes
}

describe('a directory of OCI layouts in place of a registry', { timeout: 90_000 }, () => {
  async function withLayouts() {
    await using stack = new AsyncDisposableStack()
    const directory = stack.use(await temporaryDirectory())
    const node = stack.use(await startNode())
    await node.configure(LAYOUTS, `server = "oci-layout://${directory.path}"`)
    const made = stack.move()
    return {
      root: directory.path,
      node,
      [Symbol.asyncDispose]: () => made.disposeAsync(),
    }
  }

  test('artifacts, images and indexes of several repositories mount, small and big blobs', async (context) => {
    skipUnless(context, whyNot)
    await using layouts = await withLayouts()
    const { node, root } = layouts
    const big = randomBytes(20 * MEBIBYTE + 7)
    const rootfs = image({ layers: [tarOf([{ path: 'etc/motd', content: 'hi' }])] })
    await put(root, 'acme/hello:v1', HELLO)
    await put(root, 'acme/hello:v2', HELLO_2)
    await put(root, 'acme/big/model:v1', artifact({ layers: [{ title: 'model', content: big }] }))
    await put(root, 'base:1', index([rootfs]))
    await using driver = await node.startDriver()
    const files = [
      [`${LAYOUTS}/acme/hello:v1`, 'hello.txt', 'hello v1'],
      [`${LAYOUTS}/acme/hello:v2`, 'hello.txt', 'hello v2'],
      [`${LAYOUTS}/acme/hello@${HELLO.digest}`, 'hello.txt', 'hello v1'],
      [`${LAYOUTS}/base:1`, 'etc/motd', 'hi'],
    ] as const
    for (const [reference, file, text] of files) {
      const request = await node.request(
        `pod-${digestHex(digestOf(reference)).slice(0, 8)}`,
        reference,
      )
      expect((await shown(driver, request, file)).toString()).toBe(text)
    }
    const request = await node.request('big', `${LAYOUTS}/acme/big/model:v1`)
    expect((await shown(driver, request, 'model')).equals(big)).toBe(true)
    expect(await readdir(`${node.storeDirectory}/ingest`)).toEqual([])
  })

  test('what it has once given to anyone is everyone’s: the next pod needs it no more', async (context) => {
    skipUnless(context, whyNot)
    await using layouts = await withLayouts()
    const { node, root } = layouts
    await put(root, 'acme/hello:v1', HELLO)
    await using driver = await node.startDriver()
    const secret = {
      '.dockerconfigjson': JSON.stringify({
        auths: { [LAYOUTS]: { username: 'ada', password: 'pw' } },
      }),
    }
    const first = await node.request('first', `${LAYOUTS}/acme/hello:v1`, { secret })
    await driver.csi.nodePublishVolume(first)
    await rm(join(root, 'acme'), { recursive: true })
    const second = await node.request('second', `${LAYOUTS}/acme/hello:v1`, {
      attributes: { 'oras.options.pullpolicy': 'Never' },
    })
    expect((await shown(driver, second, 'hello.txt')).toString()).toBe('hello v1')
    await driver.csi.nodeUnpublishVolume(first)
  })

  test('says what it does not have', async (context) => {
    skipUnless(context, whyNot)
    await using layouts = await withLayouts()
    const { node, root } = layouts
    await put(root, 'acme/hello:v1', HELLO)
    await using driver = await node.startDriver()
    const layer = `acme/hello@${digestOf('hello v1')}`
    const cases = [
      ['acme/hello:v9', status.NOT_FOUND, 'layout has no manifest "v9"'],
      ['acme/none:v1', status.NOT_FOUND, 'layout has no repository "acme/none"'],
      [layer, status.DATA_LOSS, 'manifest: not valid JSON'],
    ] as const
    for (const [i, [name, code, message]] of cases.entries()) {
      const request = await node.request(`pod-${i}`, `${LAYOUTS}/${name}`)
      await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
        code,
        details: expect.stringContaining(`Cannot pull "${LAYOUTS}/${name}": ${message}`),
      })
    }
  })

  test('a blob of other bytes is not mounted, and the right one is when it is there', async (context) => {
    skipUnless(context, whyNot)
    await using layouts = await withLayouts()
    const { node, root } = layouts
    const big = randomBytes(5 * MEBIBYTE)
    await put(root, 'app:v1', artifact({ layers: [{ title: 'big', content: big }] }))
    const file = join(root, 'app/blobs/sha256', digestHex(digestOf(big)))
    await writeFile(file, Buffer.alloc(big.length))
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${LAYOUTS}/app:v1`)
    await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
      code: status.DATA_LOSS,
      details: expect.stringContaining(`the bytes of blob ${digestOf(big)} hash to sha256:`),
    })
    expect(await readdir(`${node.storeDirectory}/ingest`)).toEqual([])
    await writeFile(file, big)
    expect((await shown(driver, request, 'big')).equals(big)).toBe(true)
  })

  test('an index.json that is half-written is UNAVAILABLE, and read when it is whole', async (context) => {
    skipUnless(context, whyNot)
    await using layouts = await withLayouts()
    const { node, root } = layouts
    await put(root, 'app:v1', HELLO)
    const file = join(root, 'app/index.json')
    const whole = await readFile(file)
    await writeFile(file, whole.subarray(0, whole.length / 2))
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${LAYOUTS}/app:v1`)
    await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringMatching(/index\.json: not valid JSON.*; is somebody writing it\?/),
    })
    await writeFile(file, whole)
    expect((await shown(driver, request, 'hello.txt')).toString()).toBe('hello v1')
  })

  test('is asked first, and the registry for what it does not have', async (context) => {
    skipUnless(context, whyNot)
    await using layouts = await withLayouts()
    const { node, root } = layouts
    await using registry = await startRegistry()
    const big = randomBytes(5 * MEBIBYTE)
    const model = artifact({ layers: [{ title: 'model', content: big }] })
    await push(registry.url, 'acme/model:v1', model)
    await push(registry.url, 'acme/hello:v1', HELLO_2)
    await put(root, 'acme/hello:v1', HELLO)
    await put(root, 'acme/model:v1', model)
    // Somebody has not copied all of it.
    await rm(join(root, 'acme/model/blobs/sha256', digestHex(digestOf(big))))
    await node.configure(
      registry.host,
      `server = "${registry.url}"`,
      `[host."oci-layout://${root}"]`,
      'oras_authoritative = true',
    )
    registry.clearRequests()
    await using driver = await node.startDriver()
    const hello = await node.request('hello', `${registry.host}/acme/hello:v1`)
    expect((await shown(driver, hello, 'hello.txt')).toString()).toBe('hello v1')
    const request = await node.request('model', `${registry.host}/acme/model:v1`)
    expect((await shown(driver, request, 'model')).equals(big)).toBe(true)
    const blobs = registry.requests.filter(
      ({ method, path }) => method === 'GET' && /blobs/.test(path),
    )
    expect(blobs.length).toBeGreaterThan(0)
  })
})

test('a hostile index.json fails its own pods, on the disk and behind a web server, and nobody else', {
  timeout: 90_000,
}, async (context) => {
  skipUnless(context, whyNot)
  await using directory = await temporaryDirectory()
  const root = directory.path
  await using server = await startStaticFiles({ root })
  await using node = await startNode()
  await node.configure(LAYOUTS, `server = "oci-layout://${root}"`)
  await node.configure('web.example', `server = "oci-layout+${server.url}"`)
  const listing = (fields: object) => {
    const annotations = { 'org.opencontainers.image.ref.name': 'v1' }
    return JSON.stringify({ manifests: [{ mediaType: 'a/b', size: 1, annotations, ...fields }] })
  }
  const absent = `sha256:${'0'.repeat(64)}`
  const cases = [
    [
      listing({ digest: 'sha256:../../../../etc/shadow' }),
      [status.DATA_LOSS, /index\.json\.manifests\[0\]\.digest: expected "sha256:"/],
    ],
    [listing({ digest: absent }), [status.NOT_FOUND, /layout has no manifest "sha256:0+"$/]],
    [`{"manifests":${'['.repeat(100_000)}`, [status.DATA_LOSS, /nested deeper than 32$/]],
    [
      listing({ digest: absent, data: 'x'.repeat(5 * MEBIBYTE) }),
      // Read by a process of its own, a directory's may be larger.
      [status.DATA_LOSS, /but size is 1$|index\.json is larger than 2097152 bytes$/],
    ],
  ] as const
  await put(root, 'good:v1', HELLO)
  await using driver = await node.startDriver()
  for (const [i, [text, [code, details]]] of cases.entries()) {
    await mkdir(join(root, `hostile-${i}`))
    await writeFile(join(root, `hostile-${i}`, 'index.json'), text)
    for (const registry of [LAYOUTS, 'web.example']) {
      const pod = `pod-${i}-${registry.replace('.', '-')}`
      const request = await node.request(pod, `${registry}/hostile-${i}:v1`)
      await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
        code,
        details: expect.stringMatching(details),
      })
    }
  }
  const request = await node.request('good', 'web.example/good:v1')
  expect((await shown(driver, request, 'hello.txt')).toString()).toBe('hello v1')
})

describe('a directory of OCI layouts whose file system hangs', { timeout: 90_000 }, () => {
  test('fails the pods that want something of it, with a message; all others are served', async (context) => {
    skipUnless(context, whyNoFuse)
    await using files = await mountStallingFileSystem()
    await using directory = await temporaryDirectory()
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await put(files.source, 'app:v1', HELLO_2)
    await put(directory.path, 'app:v1', HELLO)
    await using node = await startNode(registry)
    await node.configure('hanging.example', `server = "oci-layout://${files.mounted}"`)
    await node.configure('disk.example', `server = "oci-layout://${directory.path}"`)
    await using driver = await node.startDriver({ args: ['--max-stall', '2s'] })
    files.stall()
    const stuck = await node.request('stuck', 'hanging.example/app:v1')
    const refused = expect(driver.csi.nodePublishVolume(stuck)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: `Cannot pull "hanging.example/app:v1": reading the OCI layouts in "${files.mounted}" took longer than 2 s; is its file system there?`,
    })
    const others = ['disk.example/app:v1', `${registry.host}/acme/hello:v1`]
    for (const [i, reference] of others.entries()) {
      const request = await node.request(`other-${i}`, reference)
      expect((await shown(driver, request, 'hello.txt')).toString()).toBe('hello v1')
    }
    await refused
    files.resume()
    const again = async () => {
      const bytes = await shown(driver, stuck, 'hello.txt')
      return bytes.toString() === 'hello v2'
    }
    await poll(again, { deadlineMs: 60_000, what: 'the file system to be back' })
  })
})

describe('OCI layouts behind nginx, over TLS of a private authority', { timeout: 90_000 }, () => {
  async function withNginx(directives = '') {
    await using stack = new AsyncDisposableStack()
    const directory = stack.use(await temporaryDirectory())
    const authority = await createCertificateAuthority()
    const tls = await authority.issue({ names: ['127.0.0.1'] })
    const root = directory.file('www')
    await mkdir(root)
    const node = stack.use(await startNode())
    const ca = directory.file('ca.pem')
    await writeFile(ca, authority.cert)
    const servers = stack.use(new AsyncDisposableStack())
    /** Starts a server of these files, which the node is to ask from now on. */
    const serve = async (limits: string) => {
      const nginx = servers.use(await startNginx({ root, tls, directives: limits }))
      await node.configure(LAYOUTS, `server = "${layoutUrl(nginx)}"`, `ca = "${ca}"`)
      return nginx
    }
    const nginx = await serve(directives)
    const made = stack.move()
    return { nginx, serve, root, node, [Symbol.asyncDispose]: () => made.disposeAsync() }
  }

  const layoutUrl = ({ url }: Nginx) => url.replace('https:', 'oci-layout+https:')

  const blobsOf = async (nginx: Nginx, bytes: Uint8Array) => {
    const path = `/acme/model/blobs/sha256/${digestHex(digestOf(bytes))}`
    return (await nginx.answers()).filter((answer) => answer.path === path)
  }

  test('a big blob comes in ranges over several connections', async (context) => {
    skipUnless(context, whyNoNginx)
    await using web = await withNginx('limit_rate 8m;')
    const { nginx, node, root } = web
    const big = randomBytes(48 * MEBIBYTE + 7)
    await put(root, 'acme/model:v1', artifact({ layers: [{ title: 'model', content: big }] }))
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${LAYOUTS}/acme/model:v1`)
    expect((await shown(driver, request, 'model')).equals(big)).toBe(true)
    await poll(async () => (await blobsOf(nginx, big)).length > 1, {
      deadlineMs: 20_000,
      what: 'the log',
    })
    const ranges = (await blobsOf(nginx, big)).filter((answer) => answer.status === 206)
    expect(ranges.length).toBeGreaterThan(0)
    expect(ranges.every(({ range }) => /^bytes=\d+-\d+$/.test(range))).toBe(true)
  })

  test('after a kill in the middle it goes on where it was', async (context) => {
    skipUnless(context, whyNoNginx)
    await using web = await withNginx('limit_rate 4m;')
    const { serve, node, root } = web
    const big = randomBytes(48 * MEBIBYTE)
    await put(root, 'acme/model:v1', artifact({ layers: [{ title: 'model', content: big }] }))
    const request = await node.request('pod', `${LAYOUTS}/acme/model:v1`)
    {
      await using first = await node.startDriver()
      const call = first.csi.nodePublishVolume(request)
      const outcome = expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE })
      await poll(async () => (await ingested(node)) > big.length / 2, {
        deadlineMs: 60_000,
        what: 'half of it',
      })
      first.process.kill('SIGKILL')
      await outcome
      await first.process.exited
    }
    // Another one, so that what the first one still has to say of broken requests does not count.
    const nginx = await serve('')
    await using second = await node.startDriver()
    expect((await shown(second, request, 'model')).equals(big)).toBe(true)
    const sent = async () => (await blobsOf(nginx, big)).reduce((sum, { bytes }) => sum + bytes, 0)
    await poll(async () => (await sent()) > 0, { deadlineMs: 20_000, what: 'the log' })
    expect(await sent()).toBeLessThan(0.75 * big.length)
  })

  test('a server that sends wholes only is read all the same', async (context) => {
    skipUnless(context, whyNoNginx)
    await using web = await withNginx('max_ranges 0; limit_rate 16m;')
    const { nginx, node, root } = web
    const big = randomBytes(24 * MEBIBYTE)
    await put(root, 'acme/model:v1', artifact({ layers: [{ title: 'model', content: big }] }))
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${LAYOUTS}/acme/model:v1`)
    expect((await shown(driver, request, 'model')).equals(big)).toBe(true)
    const answers = await blobsOf(nginx, big)
    expect(answers.filter((answer) => answer.status === 206)).toEqual([])
  })

  test('what is not there is NOT_FOUND, and there when it is', async (context) => {
    skipUnless(context, whyNoNginx)
    await using web = await withNginx()
    const { node, root } = web
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${LAYOUTS}/acme/hello:v1`)
    await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
      code: status.NOT_FOUND,
      details: `Cannot pull "${LAYOUTS}/acme/hello:v1": layout has no repository "acme/hello"`,
    })
    await put(root, 'acme/hello:v1', HELLO)
    const later = async () => (await shown(driver, request, 'hello.txt')).toString() === 'hello v1'
    // The answer is remembered for a while.
    await poll(later, { deadlineMs: 60_000, what: 'the layout to be seen' })
  })

  test('an index.json that is swapped under us is seen at once', async (context) => {
    skipUnless(context, whyNoNginx)
    await using web = await withNginx()
    const { node, root } = web
    await put(root, 'acme/hello:v1', HELLO)
    await using driver = await node.startDriver()
    const attributes = { 'oras.options.pullpolicy': 'Always' }
    const ask = async (pod: string) => {
      const request = await node.request(pod, `${LAYOUTS}/acme/hello:v1`, { attributes })
      return (await shown(driver, request, 'hello.txt')).toString()
    }
    // Within a second, and of one length: nginx gives both the same ETag.
    expect(await ask('one')).toBe('hello v1')
    await put(root, 'acme/hello:v1', HELLO_2)
    expect(await ask('two')).toBe('hello v2')
    await put(root, 'acme/hello:v1', HELLO)
    expect(await ask('three')).toBe('hello v1')
  })

  test('a server whose authority nobody named is not trusted', async (context) => {
    skipUnless(context, whyNoNginx)
    await using web = await withNginx()
    const { nginx, node, root } = web
    await put(root, 'acme/hello:v1', HELLO)
    await node.configure(LAYOUTS, `server = "${layoutUrl(nginx)}"`)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${LAYOUTS}/acme/hello:v1`)
    await expect(driver.csi.nodePublishVolume(request)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining('its certificate is signed by an unknown authority'),
    })
    expect(await nginx.answers()).toEqual([])
  })
})

/** How many bytes of unfinished downloads a node has on disk. */
async function ingested({ storeDirectory }: TestNode): Promise<number> {
  const directory = join(storeDirectory, 'ingest')
  const names = await readdir(directory)
  const files = await Promise.all(names.map((name) => stat(join(directory, name))))
  return files.reduce((sum, { blocks }) => sum + 512 * blocks, 0)
}
