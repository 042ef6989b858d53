import { readFile, stat } from 'node:fs/promises'
import { CodedError, isSystemError, toCodedError } from '../../common/errors.ts'
import type { NodeKeyring } from '../../common/oci/credential-candidates.ts'
import { ANONYMOUS, type Keyring, parseDockerConfig } from '../../common/oci/credentials.ts'

/** What the node's own docker config is called in messages. */
const LABEL = 'docker config of the node'

/** Kubernetes allows a secret 1 MiB. */
const MAX_BYTES = 1024 * 1024

/**
 * Credentials of a docker config file that the admin gives the driver.
 *
 * The file is looked at on each lookup, following links, and read again when it is another one: the kubelet replaces a mounted
 * secret by moving a link. While it cannot be used, the last good content counts, and `warn` is told once for each version of the
 * file. A file that is not there has no credentials: that is how they are taken away.
 *
 * @param options.warn takes one line, never a value of the file
 */
export function createDockerConfigKeyring(options: {
  readonly path: string
  readonly warn: (message: string) => void
}): NodeKeyring {
  const { path, warn } = options
  let seen: string | undefined
  let keyring: Keyring = ANONYMOUS
  let isBroken = false
  let looking: Promise<void> | undefined

  const look = async (): Promise<void> => {
    // The version before the content: what changes in between is read again the next time.
    const version = await versionOf(path)
    if (version === seen) return
    try {
      keyring = await read(path)
      isBroken = false
    } catch (error) {
      isBroken = true
      warn(`${toCodedError(error).message}; what it held before counts`)
    }
    seen = version
  }

  return {
    async *lookup(registry, repository) {
      looking ??= look().finally(() => {
        looking = undefined
      })
      await looking
      const found = keyring.lookup(registry, repository)
      for (const { credential } of found) yield { label: LABEL, credential }
      if (isBroken && found.length === 0) {
        yield { label: `${LABEL} (cannot be used, see the driver's log)`, credential: undefined }
      }
    },
  }

  async function read(file: string): Promise<Keyring> {
    try {
      const found = await stat(file)
      if (!found.isFile()) throw new CodedError('INVALID', `Cannot use "${file}": not a file`)
      if (found.size > MAX_BYTES) {
        throw new CodedError('INVALID', `Cannot use "${file}": larger than ${MAX_BYTES} bytes`)
      }
      const bytes = await readFile(file)
      const fresh = parseDockerConfig(bytes, { label: file })
      for (const field of HELPER_FIELDS) {
        if (!hasField(bytes, field)) continue
        warn(
          `${file}: "${field}" names programs of the machine it was written on, which are not run; --credential-provider-config is for programs`,
        )
      }
      return fresh
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) {
        warn(`There is no docker config "${file}"; the node has no credentials of it`)
        return ANONYMOUS
      }
      if (!isSystemError(error)) throw error
      throw new CodedError('INVALID', `Cannot read "${file}": ${error.code}`, { cause: error })
    }
  }
}

const HELPER_FIELDS = ['credsStore', 'credHelpers']

/** @param bytes an object of JSON */
function hasField(bytes: Uint8Array, name: string): boolean {
  return Object.hasOwn(JSON.parse(Buffer.from(bytes).toString('utf8')), name)
}

/** Equal while the file is the same; of a file that cannot be looked at, why. */
async function versionOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
  } catch (error) {
    if (isSystemError(error)) return `${error.code}`
    throw error
  }
}
