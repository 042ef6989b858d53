import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { status as grpcStatus } from '@grpc/grpc-js'
import { type DriverOptions, startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import type { RegistryAuth } from '../support/registry/authority.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'

/** A pod of a tenant, as far as a pull is concerned. */
export interface TenantPod {
  /** `repository:tag` or `repository@digest` of the private registry, or a whole reference. */
  readonly name?: string
  /** What its pull secret says of the private registry; absent: it has none. */
  readonly secret?: object
  readonly policy?: 'Always' | 'IfNotPresent' | 'Never'
  readonly deadlineMs?: number
}

/**
 * A private registry with two teams, a node, and its driver. The disposal fails when a secret is found in what the driver wrote to its log, to the
 * disk, to its metrics, or said to the kubelet.
 */
export interface Tenants extends AsyncDisposable {
  readonly node: TestNode
  readonly registry: TestRegistry
  readonly driver: TestDriver
  /** The content of `file` as the pod sees it, or `CODE message`, with HOST for the registry; the pod is gone afterwards. */
  publish(pod: TenantPod, file?: string): Promise<string>
  /** Kills the driver, and starts another. */
  restart(options?: DriverOptions): Promise<void>
  /** Bodies of blobs that the registry has sent. */
  blobBodies(): number
  /** Waits for nothing to be under way that could still write a secret, and looks for them. */
  leaks(): Promise<readonly string[]>
}

export const ALICE = { username: 'alice', password: 'open-sesame-of-alice' }
/** Of alice's team. */
export const ANNA = { username: 'anna', password: 'anna-was-here-too' }
export const BOB = { username: 'bob', password: 'bob-the-builder-can' }
const TEAMS: Readonly<Record<string, string>> = { alice: 'team-a', anna: 'team-a', bob: 'team-b' }

/** `team-a/` is for alice and anna, `team-b/` for bob, `open/` for anyone; tokens as registries of clouds hand them out. */
export const TEAM_AUTH: RegistryAuth = {
  kind: 'bearer',
  users: Object.fromEntries([ALICE, ANNA, BOB].map((user) => [user.username, user.password])),
  access: (user, repository, action) =>
    action === 'pull' &&
    (repository.startsWith('open/') || repository.split('/')[0] === TEAMS[user ?? '']),
}

export async function startTenants(
  options: {
    readonly auth?: RegistryAuth
    readonly driver?: DriverOptions
    readonly others?: readonly TestRegistry[]
  } = {},
): Promise<Tenants> {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry({ auth: options.auth ?? TEAM_AUTH }))
  const node = stack.use(await startNode(registry, ...(options.others ?? [])))
  const drivers: TestDriver[] = []
  const said: string[] = []
  const secrets = new Set([ALICE, ANNA, BOB].map(({ password }) => password))
  let pods = 0
  const start = async (driverOptions?: DriverOptions) => {
    drivers.push(await node.startDriver(driverOptions))
  }
  stack.defer(async () => {
    for (const driver of drivers) await driver[Symbol.asyncDispose]()
  })
  const current = () => {
    const driver = drivers.at(-1)
    if (driver === undefined) throw new Error('no driver')
    return driver
  }
  await start(options.driver)

  const tenants: Tenants = {
    ...{ node, registry },
    get driver() {
      return current()
    },
    async publish({ name = 'team-a/app:v1', secret, policy, deadlineMs = 60_000 }, file) {
      for (const value of secretsIn(secret)) secrets.add(value)
      const isWhole = /^[^/]*[.:][^/]*\//.test(name)
      pods += 1
      const request = await node.request(
        `pod-${pods}`,
        isWhole ? name : `${registry.host}/${name}`,
        {
          ...(policy !== undefined && { attributes: { 'oras.options.pullpolicy': policy } }),
          ...(secret !== undefined && {
            secret: {
              '.dockerconfigjson': JSON.stringify({ auths: { [registry.host]: secret } }),
            },
          }),
        },
      )
      try {
        await current().csi.nodePublishVolume(request, { deadlineMs })
        return await readFile(join(request.target_path, file ?? 'secret.txt'), 'utf8')
      } catch (error) {
        const answer = describe(error)
        said.push(answer)
        return answer.replaceAll(registry.host, 'HOST')
      } finally {
        await current().csi.nodeUnpublishVolume(request)
      }
    },
    async restart(driverOptions) {
      const { process } = current()
      process.kill('SIGKILL')
      await process.exited
      await start(driverOptions)
    },
    blobBodies: () =>
      registry.requests.filter(
        ({ method, path, status = 0, bytesSent }) =>
          method === 'GET' && path.includes('/blobs/') && status < 300 && bytesSent > 0,
      ).length,
    async leaks() {
      for (const { headers } of registry.requests) {
        const value = headers.authorization?.split(' ')[1]
        if (value !== undefined) secrets.add(value)
      }
      const places = new Map<string, string>(said.map((text, at) => [`answer ${at}`, text]))
      for (const { process } of drivers) places.set(`log of ${process.pid}`, process.output())
      if (options.driver?.registered !== false) {
        const metrics = await fetch(`${current().healthUrl}/metrics`).catch(() => undefined)
        places.set('metrics', (await metrics?.text()) ?? '')
      }
      for await (const [path, text] of filesBelow(node.kubeletDir)) places.set(path, text)
      return [...places].flatMap(([place, text]) =>
        [...secrets].filter((secret) => text.includes(secret)).map(() => place),
      )
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
  stack.defer(async () => {
    const leaks = await tenants.leaks()
    if (leaks.length > 0) throw new Error(`Secrets found in ${leaks.join(', ')}`)
  })
  const made = stack.move()
  return tenants
}

/** Every text of a secret that nobody else should see, and how a header carries it. */
function secretsIn(secret: object | undefined): readonly string[] {
  const entry = Object.fromEntries(Object.entries(secret ?? {}))
  const texts = ['password', 'registrytoken', 'identitytoken', 'auth'].flatMap((key) =>
    typeof entry[key] === 'string' ? [entry[key]] : [],
  )
  const basic = Buffer.from(`${entry['username']}:${entry['password']}`).toString('base64')
  return [...texts, ...(entry['password'] === undefined ? [] : [basic])]
}

function describe(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'number') throw error
  const details = 'details' in error ? String(error.details) : error.message
  return `${grpcStatus[error.code]} ${details}`
}

/** Nothing that can hold a secret is larger. */
const MAX_BYTES = 1024 * 1024

async function* filesBelow(directory: string): AsyncGenerator<[path: string, text: string]> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    yield [`name of ${path}`, entry.name]
    if (!entry.isFile() || (await stat(path)).size > MAX_BYTES) continue
    yield [path, await readFile(path, 'utf8')]
  }
}
