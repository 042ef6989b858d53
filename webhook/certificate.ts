import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isSystemError } from '../common/errors.ts'
import type { Logger } from '../common/log.ts'

/** A serving certificate and its key, which match. */
export interface Certificate {
  /** PEM: the certificate and its chain. */
  readonly cert: string
  /** PEM. */
  readonly key: string
  readonly expires: Date
  /** SHA-256 of the certificate, `AB:CD:…`. */
  readonly fingerprint: string
}

/** The names that cert-manager and `kubectl create secret tls` give. */
const CERTIFICATE_FILE = 'tls.crt'
const KEY_FILE = 'tls.key'

// For file systems that tell of no changes; a certificate is renewed days before it ends.
const RECHECK_MS = 60_000

/**
 * Reads the pair in a directory.
 *
 * @throws NOT_FOUND when a file is missing; INVALID when one does not parse or the two do not match
 */
export async function loadCertificate(directory: string): Promise<Certificate> {
  // One after the other: where both are missing, the error is always the same.
  const cert = await readPem(join(directory, CERTIFICATE_FILE))
  const key = await readPem(join(directory, KEY_FILE))
  const parsed = parse(join(directory, CERTIFICATE_FILE), () => new X509Certificate(cert))
  const privateKey = parse(join(directory, KEY_FILE), () => createPrivateKey(key))
  if (!parsed.checkPrivateKey(privateKey)) {
    throw new CodedError(
      'INVALID',
      `Cannot use the certificate in "${directory}": "${KEY_FILE}" is not the key of "${CERTIFICATE_FILE}"`,
    )
  }
  return { cert, key, expires: parsed.validToDate, fingerprint: parsed.fingerprint256 }
}

/**
 * Keeps the pair in a directory loaded while its files are replaced, by rename, in place, or through a link as the kubelet
 * swaps `..data`. A pair that does not parse or match is told to the log and changes nothing.
 */
export class CertificateWatcher implements AsyncDisposable {
  /** The last good pair. */
  current: Certificate
  readonly #directory: string
  readonly #log: Logger
  readonly #onChange: (certificate: Certificate) => void
  readonly #watcher: FSWatcher
  readonly #timer: NodeJS.Timeout
  #loading: Promise<void> = Promise.resolve()
  #queued = false
  #problem = ''

  private constructor(first: Certificate, options: WatchOptions) {
    this.current = first
    this.#directory = options.directory
    this.#log = options.log
    this.#onChange = options.onChange
    this.#watcher = watch(options.directory, () => this.#reload())
    this.#watcher.on('error', (error) => {
      options.log.warn({ error }, 'cannot watch the certificate directory; looking every minute')
    })
    this.#timer = setInterval(() => this.#reload(), RECHECK_MS).unref()
  }

  /**
   * Loads the pair and starts to watch.
   *
   * @throws NOT_FOUND, INVALID as {@link loadCertificate}: there has to be a good pair to begin with
   */
  static async start(options: WatchOptions): Promise<CertificateWatcher> {
    const watcher = new CertificateWatcher(await loadCertificate(options.directory), options)
    watcher.#tell('certificate loaded')
    // What changed between the first load and the watch.
    watcher.#reload()
    return watcher
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#watcher.close()
    await this.#loading
  }

  /** One load at a time; whatever happens during one is covered by the one after it. */
  #reload(): void {
    if (this.#queued) return
    this.#queued = true
    this.#loading = this.#loading.then(() => {
      this.#queued = false
      return this.#loadOnce()
    })
  }

  async #loadOnce(): Promise<void> {
    try {
      const next = await loadCertificate(this.#directory)
      this.#problem = ''
      if (next.cert === this.current.cert && next.key === this.current.key) return
      this.#onChange(next)
      this.current = next
      this.#tell('certificate changed')
    } catch (error) {
      // Half a replacement looks like this too: told once, and forgotten when the other half is there.
      const problem = error instanceof Error ? error.message : String(error)
      if (problem === this.#problem) return
      this.#problem = problem
      this.#log.warn(
        { error, expires: this.current.expires },
        'keeping the certificate: the new one is unusable',
      )
    }
  }

  #tell(message: string): void {
    const { expires, fingerprint } = this.current
    this.#log.info({ expires, fingerprint }, message)
    if (expires.getTime() < Date.now()) this.#log.warn({ expires }, 'the certificate has expired')
  }
}

/** What a {@link CertificateWatcher} needs. */
export interface WatchOptions {
  readonly directory: string
  readonly log: Logger
  /** Called with a good new pair; if it throws, the old one stays. */
  readonly onChange: (certificate: Certificate) => void
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const code = isSystemError(cause, 'ENOENT', 'ENOTDIR') ? 'NOT_FOUND' : 'INVALID'
    const why = isSystemError(cause) ? cause.code : 'unreadable'
    throw new CodedError(code, `Cannot read "${path}": ${why}`, { cause })
  }
}

function parse<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch {
    // No cause: it may quote the file, and the file may be a key.
    throw new CodedError('INVALID', `Cannot use "${path}": not valid PEM`)
  }
}
