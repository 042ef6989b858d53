import { Client, credentials, type ServiceError } from '@grpc/grpc-js'
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader'

/** How long a call may take, and what ends it early. */
export interface GrpcCallOptions {
  /** Default 20 000: shorter than a test may take, so that the test says DEADLINE_EXCEEDED. The kubelet's is 120 000. */
  readonly deadlineMs?: number
  /** Cancels the call, as a client does that goes away. */
  readonly signal?: AbortSignal
}

/** Calls a method by its name, on a connection of its own as the kubelet does. Rejects with a {@link ServiceError}. */
export type GrpcCall = <Response>(
  method: string,
  request: object,
  options?: GrpcCallOptions,
) => Promise<Response>

/** Makes calls to one service of a `.proto` file, on a unix socket (absolute path). */
export function grpcCaller(protoFile: URL, service: string, socketPath: string): GrpcCall {
  const definition = loadSync(protoFile.pathname, {
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  })
  const methods = definition[service]
  if (methods === undefined || !isService(methods)) {
    throw new Error(`${protoFile.pathname} has no service ${service}`)
  }
  return (method, request, options = {}) =>
    new Promise((resolve, reject) => {
      const found = methods[method]
      if (found === undefined) throw new Error(`${service} has no method ${method}`)
      const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
        // Otherwise clients of one address share a connection, and its back-off after a failure.
        'grpc.use_local_subchannel_pool': 1,
      })
      const cancel = (): void => call.cancel()
      const call = client.makeUnaryRequest<object, never>(
        found.path,
        (value) => found.requestSerialize(value),
        // proto-loader types what it reads as an object; the caller names the message it asked for.
        (bytes) => found.responseDeserialize(bytes) as never,
        request,
        { deadline: Date.now() + (options.deadlineMs ?? DEFAULT_DEADLINE_MS) },
        (error: ServiceError | null, response) => {
          options.signal?.removeEventListener('abort', cancel)
          client.close()
          if (error !== null) reject(error)
          else if (response !== undefined) resolve(response)
        },
      )
      options.signal?.addEventListener('abort', cancel, { once: true })
    })
}

const DEFAULT_DEADLINE_MS = 60_000

function isService(definition: object): definition is ServiceDefinition {
  return !('format' in definition)
}
