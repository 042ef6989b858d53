import { copyFile, cp, writeFile } from 'node:fs/promises'
import { openShell, orasScript, quoted } from '../../docs/shell.ts'
import { buildGoProgram } from '../../peers/go-program.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { NODE_NAME } from '../addresses.ts'
import { LOCAL_REGISTRY, startLocalRegistry, stopLocalRegistry } from '../node/local-registry.ts'
import type { Places } from '../places.ts'

/** Somebody who types what the pages of docs/ say, in a checkout, on a machine with kubectl, helm and oras, and with a registry of his own. */
export interface DocReader extends AsyncDisposable {
  /** Runs a block up to the first command that fails, and gives its standard output. @throws when one fails */
  type(script: string): Promise<string>
  /** Writes a file into the directory where he is. */
  save(file: string, content: string | Buffer): Promise<void>
  /** What a page says, with the registry, the image and the node that there are. */
  own(text: string): string
}

const CHECKOUT = new URL('../../..', import.meta.url).pathname
/** What the shipped manifests run. */
const IMAGE = 'ghcr.io/oras-csi/oras-csi'
const TIMEOUT_MS = 400_000

/** Starts the registry, and gives the reader what he needs. The disposal takes all of it away. */
export async function openDocReader(places: Places): Promise<DocReader> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  stack.defer(() => stopLocalRegistry(places))
  await startLocalRegistry(places)
  const kubeconfig = directory.file('kubeconfig')
  await copyFile(places.kubeconfig, kubeconfig)
  const shell = await openShell(directory, {
    programs: {
      oras: orasScript(await buildGoProgram('oras-go')),
      helm: `exec ${quoted(await buildGoProgram('helm'))} "$@"`,
      kubectl: `exec ${quoted(`${places.bin}/kubectl`)} "$@"`,
    },
    env: { KUBECONFIG: kubeconfig },
    timeoutMs: TIMEOUT_MS,
  })
  for (const folder of ['manifests', 'chart']) {
    await cp(`${CHECKOUT}${folder}`, `${shell.cwd}/${folder}`, { recursive: true })
  }
  const own = (text: string) =>
    text
      .replaceAll('ghcr.io/acme', `${LOCAL_REGISTRY}/acme`)
      .replaceAll('registry.example.com/oras-csi', IMAGE)
      .replaceAll('nodeName: NODE', `nodeName: ${NODE_NAME}`)
  const made = stack.move()
  return {
    own,
    type: async (script) => (await shell.type(own(script))).stdout,
    save: (file, content) => writeFile(`${shell.cwd}/${file}`, content),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}
