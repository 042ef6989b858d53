import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { artifact, directoryLayer, load } from '../support/artifact.ts'
import { startNode, type TestDriver } from '../support/driver.ts'
import type { PublishRequest } from '../support/kubelet.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { mountsAt, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const why = await whyNoMounts()
const TIMEOUT_MS = 60_000
const SMALL = artifact({ layers: [{ title: 'a.txt', content: '12345' }] })
const LARGE = artifact({ layers: [{ title: 'a.txt', content: '1'.repeat(1001) }] })
const THREE = artifact({
  layers: ['a', 'b', 'c'].map((title) => ({ title, content: title })),
})
const FILES = ['a', 'b', 'c'].map((path) => ({ path, content: path }))
const ARCHIVE = artifact({ layers: [directoryLayer('app', FILES)] })

const policyOf = (byDefault: string, rules = '') =>
  `apiVersion: csi.oras.land/v1alpha1\nkind: Policy\ndefault: ${byDefault}\n${rules && `rules:\n${rules}`}`

/** A registry with all of it, and a node whose driver keeps to the policy. */
async function startScene(policy: (host: string) => string) {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  load(registry, 'acme/small:v1', SMALL)
  load(registry, 'acme/large:v1', LARGE)
  load(registry, 'acme/three:v1', THREE)
  load(registry, 'acme/archive:v1', ARCHIVE)
  load(registry, 'evil/small:v1', SMALL)
  const directory = stack.use(await temporaryDirectory())
  const path = directory.file('policy.yaml')
  await writeFile(path, policy(registry.host))
  const node = stack.use(await startNode(registry))
  const driver = stack.use(await node.startDriver({ args: ['--policy-file', path] }))
  let pods = 0
  const made = stack.move()
  return {
    ...{ registry, node, driver, path },
    /** Makes the request of a new pod in a namespace, as the kubelet sends it. */
    async request(
      reference: string,
      namespace: string,
      attributes: Record<string, string> = {},
    ): Promise<PublishRequest> {
      pods += 1
      const request = await node.request(`pod-${pods}`, `${registry.host}/${reference}`, {
        attributes,
      })
      const context = {
        ...request.volume_context,
        'csi.storage.k8s.io/pod.namespace': namespace,
      }
      return { ...request, volume_context: context }
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** `OK`, or the code and message of the refusal. */
async function published(driver: TestDriver, request: PublishRequest): Promise<string> {
  try {
    await driver.csi.nodePublishVolume(request)
    return 'OK'
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && 'details' in error)) throw error
    return `${status[Number(error.code)]} ${error.details}`
  }
}

const RULES = (host: string) =>
  policyOf(
    'deny',
    `- {name: tight, effect: allow, namespaces: [tight], references: ["${host}/acme/*"], maxBytes: 1000, maxFiles: 2, writable: false}
- {name: pinned, effect: allow, namespaces: [pinned], requireDigest: true}
- {name: plain, effect: allow, namespaces: [plain], plainHttp: true}
- {name: acme, effect: allow, references: ["${host}/acme/*"]}
- {name: free, effect: allow, namespaces: [free]}
`,
  )

describe("an admin's policy", { timeout: TIMEOUT_MS }, () => {
  test('denies before a registry is asked, and leaves nothing', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene(RULES)
    const { registry, driver, node } = scene
    const { host } = registry
    const cannot = (name: string, namespace: string) =>
      `PERMISSION_DENIED Cannot use "${host}/${name}:v1" in namespace "${namespace}": `
    const cases: [string, string, Record<string, string>, string][] = [
      [
        'evil/small',
        'default',
        {},
        `${cannot('evil/small', 'default')}no rule of the admin's policy allows it; allowed there: "${host}/acme/*"`,
      ],
      [
        'acme/small',
        'pinned',
        {},
        `${cannot('acme/small', 'pinned')}rule "pinned" of the admin's policy demands a digest; expected "${host}/acme/small:v1@sha256:...", which "oras resolve ${host}/acme/small:v1" tells`,
      ],
      [
        'acme/small',
        'default',
        { 'oras.options.plainhttp': 'true' },
        `${cannot('acme/small', 'default')}rule "acme" of the admin's policy does not allow plain HTTP; leave "oras.options.plainhttp" out`,
      ],
      [
        'acme/small',
        'default',
        { 'oras.options.insecure': 'true' },
        `${cannot('acme/small', 'default')}rule "acme" of the admin's policy does not allow unverified TLS; leave "oras.options.insecure" out`,
      ],
    ]
    for (const [name, namespace, attributes, expected] of cases) {
      const request = await scene.request(`${name}:v1`, namespace, attributes)
      expect(await published(driver, request)).toBe(expected)
      await expect(stat(request.target_path)).rejects.toMatchObject({ code: 'ENOENT' })
    }
    const writable = await scene.request('acme/small:v1', 'tight', {
      'oras.options.writable': 'true',
    })
    expect(await published(driver, { ...writable, readonly: false })).toBe(
      `${cannot('acme/small', 'tight')}rule "tight" of the admin's policy allows no writable volumes; leave "readOnly: false" or "oras.options.writable" out`,
    )
    expect(registry.requests).toEqual([])
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
    const metrics = await scrape(driver.healthUrl)
    expect(sampleOf(metrics, 'oras_csi_policy_denials_total{rule=""}')).toBe(1)
    expect(sampleOf(metrics, 'oras_csi_policy_denials_total{rule="acme"}')).toBe(2)

    const plain = await scene.request('acme/small:v1', 'plain', {
      'oras.options.plainhttp': 'true',
    })
    expect(await published(driver, plain)).toBe('OK')
    await driver.csi.nodeUnpublishVolume(plain)
  })

  test('denies a volume for one of its sources, before any of them is asked for', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene(RULES)
    const { registry, driver } = scene
    const sources = ['acme/small', 'evil/small'].map((name, at) => ({
      reference: `${registry.host}/${name}:v1`,
      path: `${at}`,
    }))
    const request = await scene.request('acme/small:v1', 'default')
    const { 'oras.artifact.reference': _, ...context_ } = request.volume_context
    const both = { ...context_, 'oras.sources': JSON.stringify(sources) }
    expect(await published(driver, { ...request, volume_context: both })).toBe(
      `PERMISSION_DENIED Cannot use "${registry.host}/evil/small:v1" in namespace "default": no rule of the admin's policy allows it; allowed there: "${registry.host}/acme/*"`,
    )
    expect(registry.requests).toEqual([])
  })

  test('denies what is too large once the manifest is known: nothing of it is downloaded', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene(RULES)
    const { registry, driver, node } = scene
    const denied = (name: string, what: string) =>
      `PERMISSION_DENIED Cannot use "${registry.host}/acme/${name}:v1" in namespace "tight": rule "tight" of the admin's policy allows at most ${what}`
    expect(await published(driver, await scene.request('acme/large:v1', 'tight'))).toBe(
      denied('large', '1000 bytes, and this artifact has 1001'),
    )
    expect(await published(driver, await scene.request('acme/three:v1', 'tight'))).toBe(
      denied('three', '2 files, directories and links, and this artifact has 3'),
    )
    expect(registry.requests.filter(({ path }) => path.includes('/blobs/'))).toEqual([])
    expect(registry.requests.length).toBeGreaterThan(0)
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
    const small = await scene.request('acme/small:v1', 'tight')
    expect(await published(driver, small)).toBe('OK')
    await driver.csi.nodeUnpublishVolume(small)
  })

  test('denies what the node has already, for whoever may not have it', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene(RULES)
    const { registry, driver } = scene
    for (const name of ['large', 'archive']) {
      const free = await scene.request(`acme/${name}:v1`, 'default')
      expect(await published(driver, free)).toBe('OK')
      const tight = await scene.request(`acme/${name}:v1`, 'tight')
      expect(await published(driver, tight)).toMatch(
        /^PERMISSION_DENIED .* rule "tight" .* allows at most (?:1000 bytes|2 files)/,
      )
      expect(await mountsAt(tight.target_path)).toEqual([])
      await driver.csi.nodeUnpublishVolume(free)
    }
    const evil = await scene.request('evil/small:v1', 'free')
    expect(await published(driver, evil)).toBe('OK')
    registry.clearRequests()
    const other = await scene.request('evil/small:v1', 'default')
    expect(await published(driver, other)).toMatch(/no rule of the admin's policy allows it/)
    expect(registry.requests).toEqual([])
    await driver.csi.nodeUnpublishVolume(evil)
  })

  test('counts what an archive holds before it is shown', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene(RULES)
    const { registry, driver, node } = scene
    const request = await scene.request('acme/archive:v1', 'tight')
    expect(await published(driver, request)).toMatch(
      /^PERMISSION_DENIED .*acme\/archive:v1" in namespace "tight": rule "tight" of the admin's policy allows at most 2 files, directories and links, and this artifact has [0-9]+$/,
    )
    expect(await mountsAt(request.target_path)).toEqual([])
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
    expect(registry.requests.some(({ path }) => path.includes('/blobs/'))).toBe(true)
  })

  test('allows a caller that names no namespace only what all may have', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene(RULES)
    const { registry, driver } = scene
    const unnamed = async (reference: string) => {
      const request = await scene.request(reference, '')
      const { 'csi.storage.k8s.io/pod.namespace': _, ...rest } = request.volume_context
      return published(driver, { ...request, volume_context: rest })
    }
    expect(await unnamed('evil/small:v1')).toBe(
      `PERMISSION_DENIED Cannot use "${registry.host}/evil/small:v1" in a namespace that is not known: rule "pinned" of the admin's policy demands a digest; expected "${registry.host}/evil/small:v1@sha256:...", which "oras resolve ${registry.host}/evil/small:v1" tells`,
    )
    expect(await unnamed(`evil/small@${SMALL.digest}`)).toBe(
      `PERMISSION_DENIED Cannot use "${registry.host}/evil/small@${SMALL.digest}" in a namespace that is not known: no rule of the admin's policy allows it; allowed there: "${registry.host}/acme/*"`,
    )
    expect(await unnamed(`acme/large@${LARGE.digest}`)).toMatch(/allows at most 1000 bytes/)
    expect(registry.requests.filter(({ path }) => path.includes('/blobs/'))).toEqual([])
  })

  test('changes while the driver runs: new pods follow it, running ones stay, and a broken file changes nothing', async (context) => {
    skipUnless(context, why)
    await using scene = await startScene(() => policyOf('allow'))
    const { driver, path } = scene
    const replace = async (text: string) => {
      await writeFile(`${path}.new`, text)
      await rename(`${path}.new`, path)
    }
    const running = await scene.request('acme/small:v1', 'default')
    expect(await published(driver, running)).toBe('OK')

    const changed = driver.process.waitForLine(withMessage('policy changed'), TIMEOUT_MS)
    await replace(policyOf('deny'))
    await changed
    const later = await scene.request('acme/small:v1', 'default')
    expect(await published(driver, later)).toMatch(/^PERMISSION_DENIED .*nothing is allowed there$/)
    // The kubelet repeats itself after a restart.
    expect(await published(driver, running)).toBe('OK')
    expect(await readFile(`${running.target_path}/a.txt`, 'utf8')).toBe('12345')

    const kept = driver.process.waitForLine(withMessage('keeping the last good policy'), TIMEOUT_MS)
    await replace(policyOf('open'))
    const { json } = await kept
    expect(json?.['error']).toMatchObject({
      code: 'INVALID',
      message: `Cannot use the policy file "${path}": invalid policy.default (line 3, column 10): found "open"; expected "allow" or "deny"`,
    })
    expect(await published(driver, later)).toMatch(/^PERMISSION_DENIED/)
    const success = 'oras_csi_policy_last_load_success'
    expect(sampleOf(await scrape(driver.healthUrl), success)).toBe(0)

    await rm(path)
    await replace(policyOf('allow'))
    await poll(async () => (await published(driver, later)) === 'OK', {
      ...{ deadlineMs: TIMEOUT_MS, what: 'the mended policy' },
    })
    expect(sampleOf(await scrape(driver.healthUrl), success)).toBe(1)
    for (const request of [running, later]) await driver.csi.nodeUnpublishVolume(request)
  })

  test.each<[string, string | undefined, string]>([
    [
      'missing',
      undefined,
      'Cannot read the policy file "PATH": no such file; put a policy there, or leave --policy-file out',
    ],
    [
      'wrong',
      policyOf('deny', '- {name: a, efect: allow}\n'),
      'Cannot use the policy file "PATH": invalid policy.rules[0].efect (line 5, column 13): unknown field "efect"; did you mean "effect"?',
    ],
  ])('whose file is %s keeps the driver from starting', async (_name, text, message) => {
    await using directory = await temporaryDirectory()
    const path = directory.file('policy.yaml')
    if (text !== undefined) await writeFile(path, text)
    await using process = startProcess({
      args: [
        ...['driver/main.ts', '--kubelet-directory', directory.file('kubelet')],
        ...['--health-listen', '127.0.0.1:0', '--policy-file', path],
      ],
    })
    const { json } = await process.waitForLine(withMessage('cannot run'), TIMEOUT_MS)
    expect(json?.['error']).toMatchObject({ message: message.replace('PATH', path) })
    expect(await process.exited).toStrictEqual({ code: 1, signal: null })
    expect(await readdir(directory.path)).toStrictEqual(text === undefined ? [] : ['policy.yaml'])
  })
})
