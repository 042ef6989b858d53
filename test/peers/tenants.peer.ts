import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode, type TestDriver } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { DOCKER_REGISTRY, startDockerRegistry, USER } from './docker-registry.ts'

const why = (await whyNoProgram(DOCKER_REGISTRY)) ?? (await whyNoMounts())
const TIMEOUT_MS = 120_000
const PRIVATE = artifact({ layers: [{ title: 'secret.txt', content: 'the secret of ada' }] })
const SHOWN = 'the secret of ada'
const ADA = { username: USER.username, password: USER.password }
const MALLORY = { username: USER.username, password: 'guessed' }

test("two tenants and Debian's docker-registry with htpasswd: cached is not allowed, with the registry up, down, and after the driver was killed", {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startDockerRegistry({ auth: true }))
  await push(registry.url, 'acme/private:v1', PRIVATE, { credential: USER })
  const node = stack.use(await startNode())
  await node.configure(registry.host, `server = "${registry.url}"`)
  let driver: TestDriver = await node.startDriver()
  stack.defer(() => driver[Symbol.asyncDispose]())

  let pods = 0
  const publish = async (secret?: object, policy = 'IfNotPresent', name = 'acme/private:v1') => {
    pods += 1
    const request = await node.request(`pod-${pods}`, `${registry.host}/${name}`, {
      attributes: { 'oras.options.pullpolicy': policy },
      ...(secret !== undefined && {
        secret: { '.dockerconfigjson': JSON.stringify({ auths: { [registry.host]: secret } }) },
      }),
    })
    try {
      await driver.csi.nodePublishVolume(request)
      return await readFile(join(request.target_path, 'secret.txt'), 'utf8')
    } catch (error) {
      return error instanceof Error && 'code' in error ? status[Number(error.code)] : String(error)
    } finally {
      await driver.csi.nodeUnpublishVolume(request)
    }
  }
  /** What others than ada are answered, by tag and by digest. */
  const others = async (policy: string) => [
    await publish(undefined, policy),
    await publish(MALLORY, policy),
    await publish(MALLORY, policy, `acme/private@${PRIVATE.digest}`),
  ]
  /** Requests that the registry has answered with a blob, by its log. */
  const downloads = () =>
    registry
      .output()
      .split('\n')
      .filter((line) => /response completed/.test(line) && /method=GET/.test(line))
      .filter((line) => /uri="?\/v2\/acme\/private\/blobs\//.test(line) && /status=200/.test(line))
      .length

  // Ada pulls; who cannot pull himself is not shown what she has.
  expect(await publish(ADA)).toBe(SHOWN)
  const before = downloads()
  expect(before).toBeGreaterThan(0)
  expect(await others('IfNotPresent')).toEqual(Array(3).fill('UNAUTHENTICATED'))
  expect(await others('Always')).toEqual(Array(3).fill('UNAUTHENTICATED'))
  expect(await others('Never')).toEqual(Array(3).fill('NOT_FOUND'))
  expect([await publish(ADA), await publish(ADA, 'Always'), await publish(ADA, 'Never')]).toEqual(
    Array(3).fill(SHOWN),
  )
  expect(downloads()).toBe(before)

  // The registry is down, and then the driver is killed.
  await registry[Symbol.asyncDispose]()
  for (const _ of ['as it is', 'after a restart']) {
    expect([await publish(ADA), await publish(ADA, 'Always'), await publish(ADA, 'Never')]).toEqual(
      Array(3).fill(SHOWN),
    )
    expect(await publish(MALLORY)).toMatch(/^(UNAVAILABLE|UNAUTHENTICATED)$/)
    expect(await publish(MALLORY, 'Never')).toBe('NOT_FOUND')
    driver.process.kill('SIGKILL')
    await driver.process.exited
    driver = await node.startDriver()
  }
})
