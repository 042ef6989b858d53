import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { KeyPair } from './certificates.ts'
import { poll } from './poll.ts'
import { type ChildProcess, startProcess } from './process.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** The program, as Debian's package nginx-light installs it. */
export const NGINX = 'nginx'

/** An nginx process on loopback that serves the files of a directory. Disposing kills it. */
export interface Nginx extends AsyncDisposable {
  /** e.g. `127.0.0.1:40123` */
  readonly host: string
  /** Without a slash at the end, e.g. `https://127.0.0.1:40123`. */
  readonly url: string
  /** Each answer that has ended, oldest first. */
  answers(): Promise<readonly NginxAnswer[]>
}

export interface NginxAnswer {
  readonly status: number
  readonly path: string
  /** Bytes of the body that were sent. */
  readonly bytes: number
  /** As it was asked for, e.g. `bytes=5-9`; empty for the whole. */
  readonly range: string
}

export interface NginxOptions {
  /** The directory. */
  readonly root: string
  /** Plain HTTP when absent. */
  readonly tls?: KeyPair
  /** Further directives of the server, e.g. `limit_rate 10m;`. */
  readonly directives?: string
}

/** Another program may take a port between the moment when it is found free and the one when nginx listens. */
const TRIES = 5

/** Starts nginx on a free port. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  for (let tries = 1; ; tries++) {
    const nginx = await tryPort(await freePort(), options)
    if (nginx !== undefined) return nginx
    if (tries === TRIES) throw new Error(`No free port for nginx in ${TRIES} tries`)
  }
}

async function tryPort(
  port: number,
  { root, tls, directives = '' }: NginxOptions,
): Promise<Nginx | undefined> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  if (tls !== undefined) {
    await writeFile(directory.file('key.pem'), tls.key)
    await writeFile(directory.file('cert.pem'), tls.cert)
  }
  const files = (...names: string[]) =>
    names.map((name) => `${name}_temp_path ${directory.file(name)};`).join(' ')
  await writeFile(
    directory.file('nginx.conf'),
    `daemon off; master_process off; user root; pid ${directory.file('pid')};
    error_log stderr warn;
    events { worker_connections 512; }
    http {
      ${files('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')}
      log_format answer '$status $uri $body_bytes_sent $http_range';
      access_log ${directory.file('access.log')} answer;
      default_type application/octet-stream;
      server {
        listen 127.0.0.1:${port}${tls === undefined ? '' : ' ssl'};
        ${tls === undefined ? '' : `ssl_certificate ${directory.file('cert.pem')}; ssl_certificate_key ${directory.file('key.pem')};`}
        root ${root};
        ${directives}
      }
    }`,
  )
  const args = ['-p', directory.path, '-c', directory.file('nginx.conf'), '-e', 'stderr']
  const process = stack.use(startProcess({ command: NGINX, args }))
  if (!(await listens(process, port))) return undefined
  const host = `127.0.0.1:${port}`
  const running = stack.move()
  return {
    host,
    url: `${tls === undefined ? 'http' : 'https'}://${host}`,
    answers: async () => {
      const text = await readFile(directory.file('access.log'), 'utf8')
      return text.split('\n').slice(0, -1).map(parseAnswer)
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function parseAnswer(line: string): NginxAnswer {
  const [status = '', path = '', bytes = '', range = ''] = line.split(' ')
  return {
    status: Number(status),
    path,
    bytes: Number(bytes),
    range: range === '-' ? '' : range,
  }
}

async function listens(nginx: ChildProcess, port: number): Promise<boolean> {
  let ended = false
  void nginx.exited.then(() => {
    ended = true
  })
  await poll(async () => ended || (await isOpen(port)), {
    deadlineMs: 20_000,
    what: 'nginx to listen',
  })
  if (!ended) return true
  if (nginx.output().includes('Address already in use')) return false
  throw new Error(`nginx ended:\n${nginx.output()}`)
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('No port')
  return address.port
}
