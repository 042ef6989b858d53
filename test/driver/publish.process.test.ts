import { execFile } from 'node:child_process'
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../common/oci/digest.ts'
import { artifact, directoryLayer, image, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { mountsAt, openSecondNamespace, readMounts, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { tarOf } from '../support/tar.ts'

const why = await whyNoMounts()
const BLOB = /\/blobs\//
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })
const HELLO_2 = artifact({ layers: [{ title: 'hello.txt', content: 'hello v2' }] })

describe('a published volume', () => {
  test("shows the artifact, read-only, in the host's and the pod's mount namespaces, until it is unpublished", async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using host = await openSecondNamespace()
    await using driver = await node.startDriver()
    const request = await node.request('pod-1', `${registry.host}/acme/hello:v1`)

    expect(await driver.csi.nodePublishVolume(request)).toEqual({})

    const target = request.target_path
    expect(await readFile(`${target}/hello.txt`, 'utf8')).toBe('hello v1')
    await expect(writeFile(`${target}/new`, '')).rejects.toMatchObject({ code: 'EROFS' })
    const seen = await mountsAt(target, host.pid)
    expect(seen.map(({ options }) => options.slice(0, 3))).toEqual([['ro', 'nosuid', 'nodev']])
    await expect(host.run('touch', `${target}/new`)).rejects.toThrow('Read-only file system')

    expect(await driver.csi.nodeUnpublishVolume(request)).toEqual({})
    expect(await mountsAt(target)).toEqual([])
    expect(await mountsAt(target, host.pid)).toEqual([])
    await expect(stat(target)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
    expect((await readdir(`${node.storeDirectory}/trees`)).length).toBe(1)
  })

  test("comes from the node's store for the second pod: the registry is not asked again", async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const first = await node.request('pod-1', `${registry.host}/acme/hello:v1`)
    const second = await node.request('pod-2', `${registry.host}/acme/hello:v1`)
    await driver.csi.nodePublishVolume(first)
    registry.clearRequests()
    await driver.csi.nodePublishVolume(second)
    expect(registry.requests).toEqual([])
    expect(await readFile(`${second.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    await driver.csi.nodeUnpublishVolume(first)
    expect(await readFile(`${second.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    await driver.csi.nodeUnpublishVolume(second)
  })

  test('keeps what it shows when the tag moves; a new pod with pull policy Always sees the new content', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = `${registry.host}/acme/hello:v1`
    const old = await node.request('old', reference)
    await driver.csi.nodePublishVolume(old)
    await push(registry.url, 'acme/hello:v1', HELLO_2)

    const stays = await node.request('stays', reference)
    const moves = await node.request('moves', reference, {
      attributes: { 'oras.options.pullpolicy': 'Always' },
    })
    await driver.csi.nodePublishVolume(stays)
    await driver.csi.nodePublishVolume(moves)
    // The kubelet repeats itself after a restart.
    await driver.csi.nodePublishVolume(old)

    const shown = [old, stays, moves].map(({ target_path }) =>
      readFile(`${target_path}/hello.txt`, 'utf8'),
    )
    expect(await Promise.all(shown)).toEqual(['hello v1', 'hello v1', 'hello v2'])
    for (const request of [old, stays, moves]) {
      expect((await mountsAt(request.target_path)).length).toBe(1)
      await driver.csi.nodeUnpublishVolume(request)
    }
  })

  test.for([
    {
      kind: 'programs and scripts as titled files',
      built: artifact({
        layers: [
          { title: 'bin/run', content: '#!/bin/sh\necho ran' },
          { title: 'data.txt', content: 'data' },
        ],
      }),
      find: ['bin', 'bin/run 0555', 'data.txt 0444'],
    },
    {
      kind: 'a directory that oras push packed',
      built: artifact({
        layers: [
          directoryLayer('site', [
            { path: 'index.html', content: '<p>', mode: 0o640 },
            { path: 'cgi', type: 'directory', mode: 0o750 },
            { path: 'cgi/run', content: '#!', mode: 0o4750 },
          ]),
        ],
      }),
      find: ['site', 'site/cgi', 'site/cgi/run 0755', 'site/index.html 0644'],
    },
    {
      kind: 'an untitled tar layer',
      built: artifact({
        layers: [
          {
            content: tarOf([{ path: 'lib/a.jar', content: 'A' }]),
            mediaType: 'application/vnd.oci.image.layer.v1.tar',
          },
        ],
      }),
      find: ['lib', 'lib/a.jar 0644'],
    },
    {
      kind: 'an image of two zstd layers with a whiteout',
      built: image({
        compression: 'zstd',
        layers: [
          tarOf([
            { path: 'etc/old', content: 'x' },
            { path: 'etc/kept', content: 'x' },
          ]),
          tarOf([{ path: 'etc/.wh.old', content: '' }]),
        ],
      }),
      find: ['etc', 'etc/kept 0644'],
    },
  ])('holds $kind', async ({ built, find }, context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/thing:v1', built)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/thing:v1`)
    await driver.csi.nodePublishVolume(request)
    expect(await listing(request.target_path)).toEqual(find)
    await driver.csi.nodeUnpublishVolume(request)
  })
})

describe('many at once', () => {
  test('fifty pods that start together cause one GET of the blob, and each sees all of it', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    const content = Buffer.alloc(3 * 1024 * 1024, 'oras')
    await push(registry.url, 'acme/big:v1', artifact({ layers: [{ title: 'big', content }] }))
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const requests = await Promise.all(
      Array.from({ length: 50 }, (_, pod) =>
        node.request(`pod-${pod}`, `${registry.host}/acme/big:v1`),
      ),
    )
    registry.clearRequests()
    await Promise.all(requests.map((request) => driver.csi.nodePublishVolume(request)))
    expect(registry.count('GET', BLOB)).toBe(1)
    expect(registry.count('GET', /\/manifests\//)).toBe(1)
    for (const request of requests) {
      expect(content.equals(await readFile(`${request.target_path}/big`))).toBe(true)
    }
    await Promise.all(requests.map((request) => driver.csi.nodeUnpublishVolume(request)))
    expect(
      (await readMounts()).filter(({ mountPoint }) => mountPoint.includes(node.kubeletDir)).length,
    ).toBe(1)
  })

  test('two calls for one volume go one after the other and mount once', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    await Promise.all([
      driver.csi.nodePublishVolume(request),
      driver.csi.nodePublishVolume(request),
    ])
    expect((await mountsAt(request.target_path)).length).toBe(1)
    await driver.csi.nodeUnpublishVolume(request)
  })
})

describe('a pull that takes longer than the call', () => {
  test('answers ABORTED with the progress, goes on, and the next call finds it done', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    const content = Buffer.alloc(4 * 1024 * 1024, 'x')
    await push(registry.url, 'acme/big:v1', artifact({ layers: [{ title: 'big', content }] }))
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/big:v1`)
    using gate = registry.hold({ method: 'GET', path: BLOB, afterBytes: 1024 * 1024 })

    const failure = driver.csi.nodePublishVolume(request, { deadlineMs: 5_000 })

    await expect(failure).rejects.toMatchObject({
      code: status.ABORTED,
      details: expect.stringMatching(
        /^Still pulling "127\.0\.0\.1:\d+\/acme\/big:v1": (?:1\.0 MiB|\d{3,4}\.\d KiB) of 4\.0 MiB; the pull goes on$/,
      ),
    })
    expect(await mountsAt(request.target_path)).toEqual([])
    gate.release()
    await driver.csi.nodePublishVolume(request)
    expect(registry.count('GET', BLOB)).toBe(1)
    expect((await stat(`${request.target_path}/big`)).size).toBe(content.length)
    await driver.csi.nodeUnpublishVolume(request)
  })

  test('a pod deleted in the middle leaves no mount and no lease', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    using gate = registry.hold({ method: 'GET', path: BLOB })
    await expect(
      driver.csi.nodePublishVolume(request, { deadlineMs: 5_000 }),
    ).rejects.toMatchObject({
      code: status.ABORTED,
    })
    expect((await readdir(`${node.storeDirectory}/volumes`)).length).toBe(1)
    await driver.csi.nodeUnpublishVolume(request)
    gate.release()
    await poll(async () => (await readdir(`${node.storeDirectory}/trees`)).length === 1, {
      deadlineMs: 10_000,
      what: 'the pull to end',
    })
    expect(await mountsAt(request.target_path)).toEqual([])
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  })
})

describe('what a failure looks like', () => {
  test.for([
    {
      fault: 'a corrupt blob',
      set: { kind: 'corrupt' },
      code: status.DATA_LOSS,
      message: /^Cannot pull "REFERENCE": the bytes of blob BLOB hash to sha256:[0-9a-f]{64}$/,
    },
    {
      fault: 'a blob shorter than its descriptor says',
      set: { kind: 'resize', by: -2 },
      code: status.DATA_LOSS,
      message: /^Cannot pull "REFERENCE": registry sends 6 bytes of blob BLOB; expected 8$/,
    },
    {
      fault: 'a blob longer than its descriptor says',
      set: { kind: 'resize', by: 2 },
      code: status.DATA_LOSS,
      message: /^Cannot pull "REFERENCE": registry sends 10 bytes of blob BLOB; expected 8$/,
    },
  ] as const)(
    '$fault is DATA_LOSS, nothing of it stays, and the healed registry serves',
    async ({ set, code, message }, context) => {
      skipUnless(context, why)
      await using registry = await startRegistry()
      await push(registry.url, 'acme/hello:v1', HELLO)
      await using node = await startNode(registry)
      await using driver = await node.startDriver()
      const reference = `${registry.host}/acme/hello:v1`
      const request = await node.request('pod', reference)
      const fault = registry.fault({ method: 'GET', path: BLOB }, set)
      const error = await failureOf(driver.csi.nodePublishVolume(request))
      expect(error.code).toBe(code)
      expect(error.details).toMatch(
        new RegExp(
          message.source.replace('REFERENCE', reference).replace('BLOB', digestOf('hello v1')),
        ),
      )
      expect(await readdir(`${node.storeDirectory}/ingest`)).toEqual([])
      expect(await readdir(`${node.storeDirectory}/trees`)).toEqual([])
      expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
      await expect(stat(request.target_path)).rejects.toMatchObject({ code: 'ENOENT' })
      fault.remove()
      await driver.csi.nodePublishVolume(request)
      expect(await readFile(`${request.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
      await driver.csi.nodeUnpublishVolume(request)
    },
  )

  test('a connection that breaks in mid-blob is taken up where it ended', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    const content = Buffer.alloc(1024 * 1024, 'x')
    await push(registry.url, 'acme/big:v1', artifact({ layers: [{ title: 'big', content }] }))
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    registry.fault(
      { method: 'GET', path: BLOB, times: 1 },
      { kind: 'truncate', afterBytes: 500_000 },
    )
    const request = await node.request('pod', `${registry.host}/acme/big:v1`)
    await driver.csi.nodePublishVolume(request)
    expect(registry.requests.filter(({ range }) => range !== undefined).length).toBe(1)
    expect(content.equals(await readFile(`${request.target_path}/big`))).toBe(true)
    await driver.csi.nodeUnpublishVolume(request)
  })

  test('a 500 that heals is not seen', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    registry.fault({ method: 'GET', times: 2 }, { kind: 'status', status: 500 })
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    await driver.csi.nodePublishVolume(request)
    await driver.csi.nodeUnpublishVolume(request)
  })

  test('credentials that the registry refuses are UNAUTHENTICATED, and no message or log line holds them', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry({
      auth: { kind: 'bearer', users: { alice: 'right' } },
    })
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = `${registry.host}/acme/hello:v1`
    const request = await node.request('pod', reference, {
      secret: dockerConfig(registry.host, 'alice', 'S3cret-wrong'),
    })
    const error = await failureOf(driver.csi.nodePublishVolume(request))
    expect(error.code).toBe(status.UNAUTHENTICATED)
    expect(error.details).toMatch(
      new RegExp(
        `^Cannot pull "${reference}": .*401 Unauthorized.*tried secret of the volume, anonymous access`,
      ),
    )
    const everything = error.details + driver.process.output()
    expect(everything).not.toContain('S3cret-wrong')
    expect(everything).not.toContain(Buffer.from('alice:S3cret-wrong').toString('base64'))
  })

  test("a private artifact is pulled with the pod's secret; a pod without it does not get what is cached", async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry({
      auth: { kind: 'bearer', users: { alice: 'right' } },
    })
    await push(registry.url, 'acme/hello:v1', HELLO, {
      credential: { username: 'alice', password: 'right' },
    })
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const reference = `${registry.host}/acme/hello:v1`
    const own = await node.request('own', reference, {
      secret: dockerConfig(registry.host, 'alice', 'right'),
    })
    await driver.csi.nodePublishVolume(own)
    const stranger = await node.request('stranger', reference)
    expect((await failureOf(driver.csi.nodePublishVolume(stranger))).code).toBe(
      status.UNAUTHENTICATED,
    )
    const byDigest = await node.request('digest', `${registry.host}/acme/hello@${HELLO.digest}`)
    expect((await failureOf(driver.csi.nodePublishVolume(byDigest))).code).toBe(
      status.UNAUTHENTICATED,
    )
    await driver.csi.nodeUnpublishVolume(own)
  })

  test("another tenant's registry that lists the same blobs does not give them away", async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using evil = await startRegistry()
    const built = artifact({ layers: [{ title: 'key', content: 'victim' }] })
    await push(registry.url, 'acme/secret:v1', built)
    // The manifest is known to the attacker, its blobs are not.
    evil.addManifest('evil/copy', 'v1', built.mediaType, built.manifest)
    await using node = await startNode(registry, evil)
    await using driver = await node.startDriver()
    const own = await node.request('own', `${registry.host}/acme/secret:v1`)
    await driver.csi.nodePublishVolume(own)
    const theft = await node.request('theft', `${evil.host}/evil/copy:v1`)
    expect((await failureOf(driver.csi.nodePublishVolume(theft))).code).toBe(status.NOT_FOUND)
    expect(await mountsAt(theft.target_path)).toEqual([])
    await driver.csi.nodeUnpublishVolume(own)
  })

  test.for([
    [
      'an artifact that is not there',
      (host: string) => ({ reference: `${host}/acme/none:v1`, attributes: {} }),
      status.NOT_FOUND,
      /^Cannot pull "127.0.0.1:\d+\/acme\/none:v1": /,
    ],
    [
      'an attribute that is mistyped',
      (host: string) => ({
        reference: `${host}/acme/hello:v1`,
        attributes: { 'oras.options.pullpolice': 'Always' },
      }),
      status.INVALID_ARGUMENT,
      /"oras\.options\.pullpolice".*did you mean "oras\.options\.pullpolicy"\?$/,
    ],
    [
      'a pod that asks for plain HTTP on its own',
      () => ({
        reference: 'registry.example/acme/hello:v1',
        attributes: { 'oras.options.plainhttp': 'true' },
      }),
      status.PERMISSION_DENIED,
      /^Cannot pull "registry\.example\/acme\/hello:v1": "oras\.options\.plainhttp" needs the admin's consent; an admin can put server = "http:\/\/registry\.example" into registry\.example\/hosts\.toml below the driver's --hosts-directory$/,
    ],
    [
      'policy Never on a node that has nothing',
      (host: string) => ({
        reference: `${host}/acme/hello:v1`,
        attributes: { 'oras.options.pullpolicy': 'Never' },
      }),
      status.NOT_FOUND,
      /^Cannot use "127.0.0.1:\d+\/acme\/hello:v1": the pull policy is Never, and this node does not have it from an earlier pull with these credentials$/,
    ],
  ] as const)('%s', async ([, make, code, message], context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const { reference, attributes } = make(registry.host)
    const request = await node.request('pod', reference, { attributes })
    const error = await failureOf(driver.csi.nodePublishVolume(request))
    expect(error.code).toBe(code)
    expect(error.details).toMatch(message)
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  })

  test('something else at the target is ALREADY_EXISTS, and stays', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await push(registry.url, 'acme/hello:v2', HELLO_2)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    await driver.csi.nodePublishVolume(request)
    const other = await node.request('pod', `${registry.host}/acme/hello:v2`)
    expect((await failureOf(driver.csi.nodePublishVolume(other))).code).toBe(status.ALREADY_EXISTS)
    expect(await readFile(`${request.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    await driver.csi.nodeUnpublishVolume(request)
  })

  test("a target outside the kubelet's directory is refused: no pod would see it", async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    const error = await failureOf(
      driver.csi.nodePublishVolume({ ...request, target_path: '/var/lib/other/mount' }),
    )
    expect(error.details).toBe(
      `Invalid target_path "/var/lib/other/mount": not below the kubelet's root "${node.kubeletDir}", so no pod would see the mount; set the driver's --kubelet-directory to the kubelet's --root-dir`,
    )
  })
})

describe('unpublish', () => {
  test('succeeds whatever is missing: never published, twice, target gone', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    await driver.csi.nodeUnpublishVolume(request)
    await driver.csi.nodePublishVolume(request)
    await driver.csi.nodeUnpublishVolume(request)
    await driver.csi.nodeUnpublishVolume(request)
    await rm(`${node.kubeletDir}/pods`, { recursive: true })
    await driver.csi.nodeUnpublishVolume(request)
  })

  test('never deletes what stands in a target directory that is not mounted', async (context) => {
    skipUnless(context, why)
    await using node = await startNode()
    await using driver = await node.startDriver()
    const request = await node.request('pod', 'ghcr.io/acme/hello:v1')
    await promisify(execFile)('mkdir', [request.target_path])
    await writeFile(`${request.target_path}/precious`, '')
    const error = await failureOf(driver.csi.nodeUnpublishVolume(request))
    expect(error.code).toBe(status.UNAVAILABLE)
    expect(error.details).toMatch(/^Cannot remove the target directory ".*": ENOTEMPTY/)
    expect(await readdir(request.target_path)).toEqual(['precious'])
    await chmod(request.target_path, 0o700)
  })
})

describe('statistics', () => {
  test("are the artifact's bytes and inodes", async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    await driver.csi.nodePublishVolume(request)
    const { volume_id, target_path: volume_path } = request
    expect(await driver.csi.nodeGetVolumeStats({ volume_id, volume_path })).toEqual({
      usage: [
        { unit: 'BYTES', total: 8, used: 8, available: 0 },
        { unit: 'INODES', total: 1, used: 1, available: 0 },
      ],
    })
    await driver.csi.nodeUnpublishVolume(request)
    const error = await failureOf(driver.csi.nodeGetVolumeStats({ volume_id, volume_path }))
    expect(error.code).toBe(status.NOT_FOUND)
  })
})

/** `path` of directories and `path mode` of files, sorted. */
async function listing(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const lines = entries.map(async (entry) => {
    const path = `${entry.parentPath}/${entry.name}`
    const mode = ((await stat(path)).mode & 0o7777).toString(8).padStart(4, '0')
    return path.slice(root.length + 1) + (entry.isDirectory() ? '' : ` ${mode}`)
  })
  return (await Promise.all(lines)).sort()
}

function dockerConfig(host: string, username: string, password: string): Record<string, string> {
  return { '.dockerconfigjson': JSON.stringify({ auths: { [host]: { username, password } } }) }
}

interface CallFailure {
  readonly code: number
  readonly details: string
}

async function failureOf(call: Promise<unknown>): Promise<CallFailure> {
  try {
    await call
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'details' in error) {
      return { code: Number(error.code), details: String(error.details) }
    }
    throw error
  }
  throw new Error('The call was answered OK')
}
