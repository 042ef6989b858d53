import { join } from 'node:path'
import { loadPackageDefinition, type ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** The services of a `.proto` file beside this one, by their full name, e.g. `csi.v1.Identity`. */
export function loadService(
  file: 'csi.proto' | 'registration.proto',
  name: string,
): ServiceDefinition {
  const definition = loadSync(join(import.meta.dirname, file), {
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  })
  let found: unknown = loadPackageDefinition(definition)
  for (const part of name.split('.')) {
    found = typeof found === 'object' && found !== null ? Reflect.get(found, part) : undefined
  }
  if (typeof found !== 'function' || !('service' in found)) {
    throw new TypeError(`${file} has no service ${name}`)
  }
  // grpc-js types a loaded package as an open object.
  return found.service as ServiceDefinition
}
