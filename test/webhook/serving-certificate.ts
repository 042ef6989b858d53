import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import type { KeyPair } from '../support/certificates.ts'

/** What a client of the webhook calls it. */
export const NAMES = ['localhost', '127.0.0.1']

/** Writes a pair as plain files, in place: certificate first, then key. */
export async function writePair(directory: string, { cert, key }: KeyPair): Promise<void> {
  await writeFile(join(directory, 'tls.crt'), cert)
  await writeFile(join(directory, 'tls.key'), key)
}

/** Makes a directory as the kubelet mounts a secret: links through `..data` to a directory of one version. */
export async function mountSecret(directory: string, pair: KeyPair): Promise<void> {
  await swapSecret(directory, pair, 1)
  for (const name of ['tls.crt', 'tls.key']) {
    await symlink(join('..data', name), join(directory, name))
  }
}

/** Brings another version, as the kubelet does: the link `..data` is replaced by a rename. */
export async function swapSecret(directory: string, pair: KeyPair, version: number): Promise<void> {
  const data = `..version-${version}`
  await mkdir(join(directory, data))
  await writePair(join(directory, data), pair)
  await symlink(data, join(directory, '..data_tmp'))
  await rename(join(directory, '..data_tmp'), join(directory, '..data'))
}

/** The SHA-256 of a certificate, `AB:CD:…`. */
export const fingerprintOf = ({ cert }: KeyPair) => new X509Certificate(cert).fingerprint256

/** Connects anew, verified, and tells which certificate the server shows. */
export async function shownBy(port: number, ca: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ca, servername: 'localhost' })
  try {
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().fingerprint256
  } finally {
    socket.destroy()
  }
}
