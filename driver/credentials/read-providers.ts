import { constants } from 'node:fs'
import { access, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isSystemError } from '../../common/errors.ts'
import { type ProviderConfig, parseProviderConfig } from './provider-config.ts'

/** Where the providers are told of, and where their programs are. */
export interface ProviderFiles {
  /** A CredentialProviderConfig of the kubelet, or a directory of them. */
  readonly configFile: string
  readonly binDirectory: string
}

/** A hundred times what three clouds take. */
const MAX_BYTES = 1024 * 1024

/**
 * Reads the configuration of the providers, and looks whether their programs are there: what is wrong is told when the driver starts, not
 * when a pod waits. Of a directory, all `.json`, `.yaml` and `.yml` files are read in the order of their names.
 *
 * @throws INVALID naming file and line, or the program that is missing
 */
export async function readProviders(files: ProviderFiles): Promise<readonly ProviderConfig[]> {
  const providers: ProviderConfig[] = []
  for (const path of await configFiles(files.configFile)) {
    for (const provider of parseProviderConfig(await readText(path), path)) {
      const { name } = provider
      if (providers.some((other) => other.name === name)) {
        throw new CodedError('INVALID', `${path}: the provider "${name}" is in another file too`)
      }
      await checkProgram(join(files.binDirectory, name), name)
      providers.push(provider)
    }
  }
  return providers
}

async function configFiles(path: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(path)).filter((name) => /\.(?:json|yaml|yml)$/.test(name))
    if (names.length > 0) return names.sort().map((name) => join(path, name))
  } catch (error) {
    if (isSystemError(error, 'ENOTDIR')) return [path]
    throw unreadable(path, error)
  }
  throw new CodedError('INVALID', `Cannot use "${path}": it has no .json, .yaml or .yml file`)
}

async function readText(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    if (bytes.length <= MAX_BYTES) return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw unreadable(path, error)
  }
  throw new CodedError('INVALID', `Cannot use "${path}": larger than ${MAX_BYTES} bytes`)
}

function unreadable(path: string, error: unknown): CodedError {
  const reason = isSystemError(error) ? error.code : 'not UTF-8'
  return new CodedError('INVALID', `Cannot read "${path}": ${reason}`, { cause: error })
}

async function checkProgram(path: string, name: string): Promise<void> {
  try {
    await access(path, constants.X_OK)
    if ((await stat(path)).isFile()) return
  } catch (error) {
    const reason = isSystemError(error) ? error.code : 'unknown error'
    throw new CodedError(
      'INVALID',
      `Cannot run the program "${path}" of the credential provider "${name}": ${reason}`,
      { cause: error },
    )
  }
  throw new CodedError(
    'INVALID',
    `Cannot run the program "${path}" of the credential provider "${name}": not a file`,
  )
}
