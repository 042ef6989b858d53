import { mkdir, writeFile } from 'node:fs/promises'
import {
  type CsiClient,
  csiClient,
  type PublishRequest,
  publishRequest,
  register,
} from './kubelet.ts'
import { detach, readMounts, shareMount } from './mounts.ts'
import { type ChildProcess, startProcess, withMessage } from './process.ts'
import type { TestRegistry } from './registry.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** A kubelet's root with nobody in it yet: where drivers run, one after the other or together. Disposing removes it. */
export interface TestNode extends AsyncDisposable {
  /** The kubelet's root, a shared mount as the kubelet makes it. */
  readonly kubeletDir: string
  readonly storeDirectory: string
  readonly hostsDirectory: string
  /** Lets drivers reach a registry over plain HTTP, or with what else stands in the lines given. */
  configure(host: string, ...lines: string[]): Promise<void>
  /** Starts the real driver process; it serves when this returns, and nobody has registered it yet. */
  startDriver(options?: DriverOptions): Promise<TestDriver>
  /** Makes the request for one volume of a pod, named by a short word. */
  request(
    pod: string,
    reference: string,
    options?: {
      readonly attributes?: Readonly<Record<string, string>>
      readonly secret?: Readonly<Record<string, string>>
      readonly volumeName?: string
    },
  ): Promise<PublishRequest>
}

export interface DriverOptions {
  /** Further flags. */
  readonly args?: readonly string[]
  /** Default true: waits until it serves, and registers it as the kubelet does. */
  readonly registered?: boolean
  readonly env?: Readonly<Record<string, string>>
  /** A file whose content the driver is to take for the boot id of the node. */
  readonly bootIdFile?: string
}

/** A driver process. Disposing kills it. */
export interface TestDriver extends AsyncDisposable {
  readonly process: ChildProcess
  readonly csi: CsiClient
  readonly healthUrl: string
}

/** Makes a node whose drivers reach the registries given. */
export async function startNode(...registries: readonly TestRegistry[]): Promise<TestNode> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const kubeletDir = directory.file('kubelet')
  const hostsDirectory = directory.file('certs.d')
  await mkdir(`${kubeletDir}/plugins_registry`, { recursive: true })
  await mkdir(`${kubeletDir}/pods`)
  stack.use(await shareMount(kubeletDir))
  stack.defer(() => refuseLeftMounts(kubeletDir))

  const node: TestNode = {
    kubeletDir,
    hostsDirectory,
    storeDirectory: `${kubeletDir}/plugins/csi.oras.land/store`,
    async configure(host, ...lines) {
      const path = `${hostsDirectory}/${host.replace(/:(\d+)$/, '_$1_')}`
      await mkdir(path, { recursive: true })
      await writeFile(`${path}/hosts.toml`, `${lines.join('\n')}\n`)
    },
    async startDriver({ args = [], registered = true, env = {}, bootIdFile } = {}) {
      const process = startProcess({
        env,
        ...(bootIdFile !== undefined && { command: 'unshare' }),
        args: [
          ...(bootIdFile === undefined ? [] : inBoot(bootIdFile)),
          'driver/main.ts',
          ...['--kubelet-directory', kubeletDir],
          ...['--hosts-directory', hostsDirectory],
          ...['--health-listen', '127.0.0.1:0'],
          ...['--node-id', 'node-1'],
          ...args,
        ],
      })
      try {
        const { json } = await process.waitForLine(withMessage('serving'))
        const { csi } = registered
          ? await register(`${kubeletDir}/plugins_registry`)
          : { csi: unregistered() }
        return {
          process,
          csi,
          healthUrl: `http://127.0.0.1:${json?.['healthPort']}`,
          [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
        }
      } catch (error) {
        await process[Symbol.asyncDispose]()
        throw error
      }
    },
    request: (pod, reference, { attributes, secret, volumeName = 'app' } = {}) =>
      publishRequest({
        kubeletDir,
        pod: { name: pod, namespace: 'default', uid: `uid-${pod}` },
        volumeName,
        attributes: { 'oras.artifact.reference': reference, ...attributes },
        ...(secret !== undefined && { secret }),
        readOnly: true,
      }),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
  const unregistered = () => csiClient(`${kubeletDir}/plugins/csi.oras.land/csi.sock`)
  for (const { host, url } of registries) await node.configure(host, `server = "${url}"`)
  const made = stack.move()
  return node
}

/** What `unshare` runs a script of Node with: mounts are as they were, but for the file with the boot id. */
function inBoot(bootIdFile: string): readonly string[] {
  const script =
    'mount --make-private /proc && mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
  const command = ['sh', '-c', script, bootIdFile, process.execPath]
  return ['--mount', '--propagation', 'unchanged', ...command]
}

/** Detaching the kubelet's root would take a forgotten volume along unseen. */
async function refuseLeftMounts(kubeletDir: string): Promise<void> {
  const left = (await readMounts())
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint.startsWith(`${kubeletDir}/`))
  for (const mountPoint of left.toReversed()) await detach(mountPoint)
  if (left.length > 0) throw new Error(`Left mounted: ${left.join(', ')}`)
}
