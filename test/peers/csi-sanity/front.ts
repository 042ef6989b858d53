import {
  Client,
  credentials,
  type handleUnaryCall,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { fakeController } from './fake-controller.ts'

const CSI_DIRECTORY = new URL('../../../driver/csi', import.meta.url).pathname
const CONTROLLER_PROTO = new URL('controller.proto', import.meta.url).pathname

/**
 * Serves on a unix socket (absolute path) what csi-sanity wants to see beside a node service: a controller, and an identity that says
 * there is one. Everything else goes on to the driver's socket and back, byte for byte. Disposing stops it.
 *
 * @param options.volumeContext of every volume that the controller makes
 */
export async function startFront(options: {
  readonly socket: string
  readonly driverSocket: string
  readonly volumeContext: Readonly<Record<string, string>>
}): Promise<AsyncDisposable> {
  const driver = new Client(`unix:${options.driverSocket}`, credentials.createInsecure())
  const server = new Server()
  const { GetPluginCapabilities, ...identity } = serviceOf('Identity')
  if (GetPluginCapabilities === undefined) throw new Error('csi.proto has no capabilities')
  server.addService({ GetPluginCapabilities }, ADVERTISING)
  for (const service of [identity, serviceOf('Node')]) {
    server.addService(opaque(service), passingOn(service, driver))
  }
  server.addService(serviceOf('Controller'), fakeController(options.volumeContext))
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${options.socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
  return {
    async [Symbol.asyncDispose]() {
      server.forceShutdown()
      driver.close()
    },
  }
}

const ADVERTISING: UntypedServiceImplementation = {
  GetPluginCapabilities: ((_call, callback) => {
    callback(null, { capabilities: [{ service: { type: 'CONTROLLER_SERVICE' } }] })
  }) satisfies handleUnaryCall<object, object>,
}

function serviceOf(name: 'Identity' | 'Node' | 'Controller'): ServiceDefinition {
  const definition = loadSync(CONTROLLER_PROTO, {
    includeDirs: [CSI_DIRECTORY],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  })
  let found: unknown = loadPackageDefinition(definition)
  for (const part of ['csi', 'v1', name]) {
    found = typeof found === 'object' && found !== null ? Reflect.get(found, part) : undefined
  }
  if (typeof found !== 'function' || !('service' in found)) throw new Error(`No service ${name}`)
  // grpc-js types a loaded package as an open object.
  return found.service as ServiceDefinition
}

const same = (bytes: Buffer): Buffer => bytes

/** The same methods, of messages that stay as they are. */
function opaque(service: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => [
      name,
      {
        ...method,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    ]),
  )
}

function passingOn(service: ServiceDefinition, driver: Client): UntypedServiceImplementation {
  const handler =
    (path: string): handleUnaryCall<Buffer, Buffer> =>
    (call, callback) => {
      driver.makeUnaryRequest(path, same, same, call.request, (error, answer) => {
        callback(error, answer)
      })
    }
  return Object.fromEntries(
    Object.entries(service).map(([name, { path }]) => [name, handler(path)]),
  )
}
