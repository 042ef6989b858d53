import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { CodedError } from '../../common/errors.ts'
import { placeSocket } from '../place-socket.ts'

/** sockaddr_un holds 108 bytes with the NUL at the end. */
const MAX_SOCKET_PATH_BYTES = 107
/** How long calls may take to end once the server stops; their signals have fired by then. */
const SHUTDOWN_MS = 5_000

/**
 * Serves gRPC on a unix socket that only its owner may open.
 *
 * The socket appears by a rename, ready for use, in place of one that an earlier process left. The disposal removes it only while it is
 * still this server's: during a rolling update the next driver's may stand there already.
 *
 * @throws INVALID when the path is too long for a socket, or does not end in `.sock`
 */
export async function serveOnSocket(
  path: string,
  services: readonly (readonly [ServiceDefinition, UntypedServiceImplementation])[],
): Promise<AsyncDisposable & { readonly path: string }> {
  // Names that begin with a dot are no plugins to the kubelet's watcher.
  const temporary = join(dirname(path), `.${basename(path, '.sock')}-${process.pid}.sock`)
  if (!path.endsWith('.sock')) {
    throw new CodedError(
      'INVALID',
      `Invalid socket "${path}": expected a name that ends in ".sock"`,
    )
  }
  if (Buffer.byteLength(temporary) > MAX_SOCKET_PATH_BYTES) {
    throw new CodedError(
      'INVALID',
      `Invalid socket "${path}": "${temporary}" is longer than the ${MAX_SOCKET_PATH_BYTES} bytes of a unix socket; choose a shorter directory`,
    )
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o750 })
  await rm(temporary, { force: true })

  const server = new Server()
  for (const [definition, implementation] of services) server.addService(definition, implementation)
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${temporary}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
  const placed = await placeSocket(temporary, path)

  return {
    path,
    async [Symbol.asyncDispose]() {
      await placed[Symbol.asyncDispose]()
      const forced = setTimeout(() => server.forceShutdown(), SHUTDOWN_MS)
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()))
      clearTimeout(forced)
    },
  }
}
