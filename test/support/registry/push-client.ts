import { Agent, type Dispatcher, request } from 'undici'

/** How a push reaches the registry. */
export interface PushOptions {
  readonly credential?: { readonly username: string; readonly password: string }
  /** PEM of the authority of the registry's certificate. */
  readonly ca?: string
}

/** Writes to one repository. */
export interface RegistryClient extends AsyncDisposable {
  putBlob(digest: string, bytes: Buffer): Promise<void>
  /** `reference` is a tag or a digest. */
  putManifest(reference: string, mediaType: string, bytes: Buffer): Promise<void>
}

/** Opens a client of the push half of the distribution spec; disposing closes its connections. */
export function openRegistryClient(
  registryUrl: string,
  repository: string,
  options: PushOptions,
): RegistryClient {
  const dispatcher = new Agent(options.ca === undefined ? {} : { connect: { ca: options.ca } })
  const basic =
    options.credential === undefined
      ? undefined
      : `Basic ${Buffer.from(`${options.credential.username}:${options.credential.password}`).toString('base64')}`
  let authorization: string | undefined

  const send = async (call: Call): Promise<Dispatcher.ResponseData> => {
    const attempt = () =>
      request(new URL(call.path, registryUrl), {
        dispatcher,
        method: call.method,
        headers: { ...call.headers, ...(authorization !== undefined && { authorization }) },
        ...(call.body !== undefined && { body: call.body }),
      })
    const first = await attempt()
    if (first.statusCode !== 401) return first
    await first.body.dump()
    const challenge = String(first.headers['www-authenticate'])
    authorization = challenge.startsWith('Bearer ')
      ? await fetchToken(challenge, basic, dispatcher)
      : basic
    return attempt()
  }
  const expect = async (call: Call, status: number): Promise<Dispatcher.ResponseData> => {
    const response = await send(call)
    const text = await response.body.text()
    if (response.statusCode === status) return response
    throw new Error(
      `Cannot push: ${call.method} ${call.path} answered ${response.statusCode}, expected ${status}: ${text}`,
    )
  }
  return {
    putBlob: async (digest, bytes) => {
      const blob = `/v2/${repository}/blobs/${digest}`
      const there = await send({ method: 'HEAD', path: blob })
      await there.body.dump()
      if (there.statusCode === 200) return
      const begun = await expect({ method: 'POST', path: `/v2/${repository}/blobs/uploads/` }, 202)
      const { location: header } = begun.headers
      const location = new URL(String(header), registryUrl)
      location.searchParams.set('digest', digest)
      await expect(
        {
          method: 'PUT',
          path: location.href,
          headers: { 'content-type': 'application/octet-stream' },
          body: bytes,
        },
        201,
      )
    },
    putManifest: async (reference, mediaType, bytes) => {
      await expect(
        {
          method: 'PUT',
          path: `/v2/${repository}/manifests/${reference}`,
          headers: { 'content-type': mediaType },
          body: bytes,
        },
        201,
      )
    },
    [Symbol.asyncDispose]: () => dispatcher.close(),
  }
}

interface Call {
  readonly method: Dispatcher.HttpMethod
  /** Absolute, or relative to the registry. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

async function fetchToken(
  challenge: string,
  basic: string | undefined,
  dispatcher: Dispatcher,
): Promise<string> {
  const parameters = new Map(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1], match[2] ?? '']),
  )
  const url = new URL(parameters.get('realm') ?? '')
  url.searchParams.set('service', parameters.get('service') ?? '')
  url.searchParams.set('scope', parameters.get('scope') ?? '')
  const response = await request(url, {
    dispatcher,
    headers: basic === undefined ? {} : { authorization: basic },
  })
  const text = await response.body.text()
  if (response.statusCode !== 200) {
    throw new Error(`Cannot push: the token endpoint answered ${response.statusCode}: ${text}`)
  }
  return `Bearer ${JSON.parse(text).token}`
}
