import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { CodedError, isSystemError } from '../errors.ts'
import type { ClientCertificate } from './hosts.ts'
import type { ClientFiles } from './hosts-file.ts'

const MAX_FILE_BYTES = 1024 * 1024
const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const KEYS = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[^-]+-----END \1-----/

/** Identity, size and times of files: another text when one of them changed, came or went. */
export async function versionOf(paths: readonly string[]): Promise<string> {
  const versions = await Promise.all(
    paths.map(async (path) => {
      try {
        const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
        return `${ino} ${size} ${mtimeNs} ${ctimeNs};`
      } catch (error) {
        if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return ABSENT
        throw unreadable(path, error)
      }
    }),
  )
  return versions.join('')
}

/** The version of a file that is not there. */
export const ABSENT = ';'

/** Reads a text of at most 1 MiB. @throws INVALID naming the file */
export async function readConfigurationFile(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    if (bytes.length <= MAX_FILE_BYTES)
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw unreadable(path, error)
  }
  throw new CodedError('INVALID', `Cannot use "${path}": larger than ${MAX_FILE_BYTES} bytes`)
}

/** Reads the PEM certificates of a file. @throws INVALID when there is none, or one does not parse */
export async function readCertificates(path: string): Promise<string> {
  const blocks = certificatesIn(path, await readConfigurationFile(path))
  return blocks.join('\n')
}

/** Reads a client's certificate and key. @throws INVALID naming the file; no byte of a key reaches the message */
export async function readClientCertificate(files: ClientFiles): Promise<ClientCertificate> {
  const [cert = '', ...chain] = certificatesIn(files.cert, await readConfigurationFile(files.cert))
  const key = KEYS.exec(await readConfigurationFile(files.key))?.[0]
  if (key === undefined) {
    throw new CodedError('INVALID', `Cannot use "${files.key}": no PEM private key in it`)
  }
  if (!new X509Certificate(cert).checkPrivateKey(parseKey(files.key, key))) {
    throw new CodedError(
      'INVALID',
      `Cannot use "${files.key}": its key is not that of the certificate in "${files.cert}"`,
    )
  }
  return { cert: [cert, ...chain].join('\n'), key }
}

function certificatesIn(path: string, text: string): readonly string[] {
  const blocks = text.match(CERTIFICATES) ?? []
  try {
    // Node ignores a certificate that does not parse and refuses every server instead.
    for (const block of blocks) new X509Certificate(block)
  } catch (error) {
    throw new CodedError('INVALID', `Cannot use "${path}": not a certificate`, { cause: error })
  }
  if (blocks.length === 0) {
    throw new CodedError('INVALID', `Cannot use "${path}": no PEM certificate in it`)
  }
  return blocks
}

function parseKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    // Without its cause, which may tell of the key.
    throw new CodedError(
      'INVALID',
      `Cannot use "${path}": its private key is encrypted or malformed; expected a PEM key without a passphrase`,
    )
  }
}

/** Makes the error for a file or directory of the admin's that cannot be read. */
export function unreadable(path: string, error: unknown): CodedError {
  const reason = isSystemError(error) ? error.code : 'not UTF-8'
  return new CodedError('INVALID', `Cannot read "${path}": ${reason}`, { cause: error })
}
