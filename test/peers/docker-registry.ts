import { writeFile } from 'node:fs/promises'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** The program, as Debian's package of the same name installs it. */
export const DOCKER_REGISTRY = 'docker-registry'

/** Who may use a registry that wants to know. */
export const USER = { username: 'ada', password: 'correct horse battery staple' } as const

// bcrypt of the password, cost 4: it is checked at every request.
const HTPASSWD = `${USER.username}:$2b$04$oras.csi.docker.regisej5TG8Ewuf4vKrsmEMbhwt5s9oKcqO5C\n`

/** Who gives tokens, and the authority of his certificate. */
export interface TokenAuth {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** A file of PEM. */
  readonly rootcertbundle: string
}

/** What TLS needs, as files of PEM. */
export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  /** Clients must show a certificate of these authorities. */
  readonly clientcas: readonly string[]
}

/** A registry process on loopback, over plain HTTP unless it is given a certificate. Disposing kills it and removes what it stored. */
export interface DockerRegistry extends AsyncDisposable {
  /** e.g. `127.0.0.1:40123` */
  readonly host: string
  /** e.g. `http://127.0.0.1:40123` */
  readonly url: string
  /** What it has logged. */
  output(): string
}

/**
 * Starts Debian's docker-registry with a storage directory of its own.
 *
 * @param options.storage where it is to store instead; the caller removes that
 * @param options.auth whether it wants {@link USER} (basic authentication), or tokens of a service that it trusts
 * @param options.remoteUrl it is a pull-through cache of that registry
 * @param options.program another build of the same registry; default Debian's
 * @see https://distribution.github.io/distribution/about/configuration/
 */
export async function startDockerRegistry(
  options: {
    readonly auth?: boolean | TokenAuth
    readonly storage?: string
    readonly tls?: TlsFiles
    readonly remoteUrl?: string
    readonly program?: string
  } = {},
): Promise<DockerRegistry> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const htpasswd = directory.file('htpasswd')
  await writeFile(htpasswd, HTPASSWD)
  // JSON is YAML.
  const config = {
    version: '0.1',
    log: { level: 'info', formatter: 'text' },
    storage: { filesystem: { rootdirectory: options.storage ?? directory.file('storage') } },
    http: { addr: '127.0.0.1:0', ...(options.tls && { tls: options.tls }) },
    ...(options.remoteUrl !== undefined && { proxy: { remoteurl: options.remoteUrl } }),
    ...(options.auth === true && { auth: { htpasswd: { realm: 'test', path: htpasswd } } }),
    ...(typeof options.auth === 'object' && { auth: { token: options.auth } }),
  }
  const file = directory.file('config.yml')
  await writeFile(file, JSON.stringify(config))
  const registry = stack.use(
    startProcess({ command: options.program ?? DOCKER_REGISTRY, args: ['serve', file] }),
  )
  const listening = /listening on (127\.0\.0\.1:\d+)/
  const { text } = await registry.waitForLine((line) => listening.test(line.text))
  const host = listening.exec(text)?.[1] ?? ''
  const running = stack.move()
  return {
    host,
    url: `${options.tls ? 'https' : 'http'}://${host}`,
    output: registry.output,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
