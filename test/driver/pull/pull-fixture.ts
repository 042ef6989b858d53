import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { CodedError } from '../../../common/errors.ts'
import { ANONYMOUS } from '../../../common/oci/credentials.ts'
import { createHosts } from '../../../common/oci/hosts.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import { createRegistrySource } from '../../../common/oci/registry-source.ts'
import { createDownloadThreads } from '../../../driver/pull/download/download-threads.ts'
import { createPuller, type Puller } from '../../../driver/pull/puller.ts'
import { createTreeWorkers } from '../../../driver/pull/tree/tree-workers.ts'
import type { Store } from '../../../driver/store/store.ts'
import type { Tree } from '../../../driver/store/trees.ts'
import { type Built, load } from '../../support/artifact.ts'
import type { RegistryAuth } from '../../support/registry/authority.ts'
import { startRegistry, type TestRegistry } from '../../support/registry.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { openTestStore, silentLog } from '../store/open-test-store.ts'

/** A registry, and a node's store and puller. */
export interface PullFixture extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly store: Store
  readonly puller: Puller
  /** Pulls `repository:tag` of the registry. */
  pull(name: string, options?: { readonly signal?: AbortSignal }): Promise<Tree>
  /** The same, giving what it threw as `CODE message`, the registry's port left out. */
  failure(name: string): Promise<string>
  /** Relative paths of files and directories that are being built. */
  building(): string[]
  /** What the node shows to anybody: names of trees. */
  visible(): string[]
  /** Open files of this process below the store. */
  openFiles(): string[]
}

/** @param artifacts by `repository:tag` */
export async function pullFixture(
  artifacts: Readonly<Record<string, Built>>,
  options: {
    readonly treeWorkers?: number
    readonly lingerMs?: number
    /** Who may pull; default anyone. */
    readonly auth?: RegistryAuth
  } = {},
): Promise<PullFixture> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const registry = stack.use(await startRegistry({ auth: options.auth ?? 'none' }))
  for (const [name, built] of Object.entries(artifacts)) load(registry, name, built)
  const store = stack.use(await openTestStore(directory.file('store')))
  const hosts = createHosts({
    directory: directory.file('none'),
    plainHttpLoopback: true,
    warn: () => undefined,
  })
  const { treeWorkers: size = 2, lingerMs } = options
  const source = stack.use(createRegistrySource({ hosts }))
  const puller = stack.use(
    createPuller({
      ...{ store, source },
      downloadThreads: stack.use(createDownloadThreads({ source })),
      treeWorkers: stack.use(createTreeWorkers({ size })),
      platform: { os: 'linux', architecture: 'amd64' },
      log: silentLog(),
      maxDownloads: 8,
      ...(lingerMs !== undefined && { lingerMs }),
    }),
  )
  const staging = join(store.directory, 'staging')
  const made = stack.move()
  const fixture: PullFixture = {
    registry,
    store,
    puller,
    pull: (name, { signal = new AbortController().signal } = {}) =>
      puller.ensureTree(
        { reference: parseReference(`${registry.host}/${name}`) },
        { keyring: ANONYMOUS, signal },
      ),
    failure: (name) =>
      fixture.pull(name).then(
        () => 'nothing was thrown',
        (error: unknown) => {
          if (!(error instanceof CodedError)) throw error
          return `${error.code} ${error.message}`.replaceAll(registry.host, 'registry')
        },
      ),
    building: () =>
      existsSync(staging)
        ? readdirSync(staging, { recursive: true, encoding: 'utf8' }).map((path) =>
            path.split('/').slice(1).join('/'),
          )
        : [],
    visible: () => readdirSync(join(store.directory, 'trees')),
    openFiles: () =>
      readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          const target = readlinkSync(`/proc/self/fd/${fd}`)
          return target.startsWith(`${store.directory}/`) ? [target] : []
        } catch {
          // Closed meanwhile: the listing's own.
          return []
        }
      }),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
  return fixture
}
