import { randomBytes } from 'node:crypto'
import { type Answer, errorAnswer, jsonAnswer } from './answer.ts'

/** What a request does to a repository. */
export type Action = 'pull' | 'push'

/** Who may do what. */
export interface Accounts {
  /** Passwords by user name. */
  readonly users: Readonly<Record<string, string>>
  /** Whether everyone may pull without a name; default false. */
  readonly anonymousPull?: boolean
  /**
   * Replaces the rule that every user may do everything, and nobody else more than `anonymousPull` says.
   * `user` is undefined for an anonymous request.
   */
  readonly access?: (user: string | undefined, repository: string, action: Action) => boolean
}

/** How a registry asks for credentials. */
export type RegistryAuth =
  | 'none'
  | ({ readonly kind: 'basic' } & Accounts)
  | ({
      readonly kind: 'bearer'
      /** Default 300. */
      readonly tokenTtlSeconds?: number
      /** Serves the token endpoint on a port of its own. */
      readonly separateTokenServer?: boolean
      /** Replaces the realm of the challenge, for attacks. */
      readonly realm?: string
      /**
       * Who refuses a user that lacks access: the registry with 401 `insufficient_scope`, as Docker Hub and Harbor do
       * (default), or the token endpoint with 403, as GHCR does.
       */
      readonly refusal?: 'registry' | 'token'
    } & Accounts)

/** A request as far as authentication looks at it. */
export interface AuthenticatedRequest {
  /** The Authorization header. */
  readonly authorization: string | undefined
  /** Undefined for `/v2/` itself. */
  readonly repository: string | undefined
  readonly action: Action
}

/** A request of the token endpoint. */
export interface TokenRequest {
  readonly method: string
  readonly query: URLSearchParams
  readonly form: URLSearchParams
  readonly authorization: string | undefined
}

/** Decides who may do what, and hands out tokens. */
export interface Authority {
  /** @returns undefined when the request may go on, else the challenge or refusal */
  check(request: AuthenticatedRequest): Answer | undefined
  token(request: TokenRequest): Answer
  /** Makes a refresh token, as a registry hands out after `docker login`. */
  identityToken(user: string): string
  /** Makes an access token, as a `registrytoken` of a docker config file. */
  accessToken(user: string, repository: string, actions: readonly Action[]): string
  /** Makes every access token that was handed out invalid. */
  expireTokens(): void
}

export const SERVICE = 'registry.test'

interface Grant {
  readonly actions: ReadonlyMap<string, ReadonlySet<string>>
  readonly expiresAtMs: number
}

/** @param realm the URL of the token endpoint, known once it listens */
export function createAuthority(auth: RegistryAuth, realm: () => string): Authority {
  if (auth === 'none') return openAuthority()
  return auth.kind === 'basic' ? basicAuthority(auth) : bearerAuthority(auth, realm)
}

function openAuthority(): Authority {
  return {
    ...NO_TOKENS,
    check: () => undefined,
  }
}

function basicAuthority(accounts: Accounts): Authority {
  return {
    ...NO_TOKENS,
    check: ({ authorization, repository, action }) => {
      const user = basicUser(accounts, authorization)
      const refused = user === 'wrong' || (user === undefined && authorization !== undefined)
      if (refused || !mayEnter(accounts, user, repository, action)) {
        return user === undefined || refused
          ? errorAnswer(401, 'UNAUTHORIZED', 'authentication required', {
              'www-authenticate': 'Basic realm="registry.test"',
            })
          : errorAnswer(403, 'DENIED', 'requested access to the resource is denied')
      }
      return undefined
    },
  }
}

function bearerAuthority(
  auth: Extract<RegistryAuth, { kind: 'bearer' }>,
  realm: () => string,
): Authority {
  const ttlSeconds = auth.tokenTtlSeconds ?? 300
  const grants = new Map<string, Grant>()
  const refreshTokens = new Map<string, string>()

  const issue = (actions: Grant['actions']): string => {
    const token = randomBytes(24).toString('base64url')
    grants.set(token, { actions, expiresAtMs: Date.now() + ttlSeconds * 1000 })
    return token
  }
  const identityToken = (user: string): string => {
    const token = randomBytes(24).toString('base64url')
    refreshTokens.set(token, user)
    return token
  }
  const answerToken = (user: string | undefined, scopes: readonly Scope[], refresh?: string) => {
    const actions = new Map<string, Set<string>>()
    for (const scope of scopes) {
      const granted = scope.actions.filter((action) => may(auth, user, scope.repository, action))
      actions.set(scope.repository, new Set(granted))
    }
    const lacking = scopes.some((scope) => actions.get(scope.repository)?.size === 0)
    if (auth.refusal === 'token' && lacking) {
      return errorAnswer(403, 'DENIED', 'requested access to the resource is denied')
    }
    const token = issue(actions)
    return jsonAnswer(200, {
      token,
      access_token: token,
      expires_in: ttlSeconds,
      issued_at: new Date().toISOString(),
      ...(refresh !== undefined && { refresh_token: refresh }),
    })
  }
  return {
    check: ({ authorization, repository, action }) => {
      const token = /^bearer (.*)$/i.exec(authorization ?? '')?.[1]
      const grant = token === undefined ? undefined : grants.get(token)
      const scope = action === 'pull' ? 'pull' : 'pull,push'
      const challenge = (error?: string) =>
        errorAnswer(401, 'UNAUTHORIZED', 'authentication required', {
          'www-authenticate': [
            `Bearer realm="${auth.realm ?? realm()}"`,
            `service="${SERVICE}"`,
            ...(repository === undefined ? [] : [`scope="repository:${repository}:${scope}"`]),
            ...(error === undefined ? [] : [`error="${error}"`]),
          ].join(','),
        })
      if (token === undefined) return challenge()
      if (grant === undefined || grant.expiresAtMs <= Date.now()) return challenge('invalid_token')
      if (repository !== undefined && grant.actions.get(repository)?.has(action) !== true) {
        return challenge('insufficient_scope')
      }
      return undefined
    },
    token: ({ method, query, form, authorization }) => {
      if (method === 'GET') {
        const user = basicUser(auth, authorization)
        if (user === 'wrong' || (user === undefined && authorization !== undefined)) {
          return errorAnswer(401, 'UNAUTHORIZED', 'incorrect username or password')
        }
        const offline = user !== undefined && query.get('offline_token') === 'true'
        const refresh = offline ? identityToken(user) : undefined
        return answerToken(user, parseScopes(query.getAll('scope')), refresh)
      }
      const user = oauthUser(auth, form, refreshTokens)
      if (user === undefined) return jsonAnswer(401, { error: 'invalid_grant' })
      const refresh = form.get('refresh_token') ?? identityToken(user)
      return answerToken(user, parseScopes(form.getAll('scope')), refresh)
    },
    identityToken,
    accessToken: (user, repository, actions) => {
      const granted = actions.filter((action) => may(auth, user, repository, action))
      return issue(new Map([[repository, new Set(granted)]]))
    },
    expireTokens: () => grants.clear(),
  }
}

const NO_TOKENS = {
  token: () => errorAnswer(404, 'UNSUPPORTED', 'this registry has no token endpoint'),
  identityToken: () => noTokens(),
  accessToken: () => noTokens(),
  expireTokens: () => noTokens(),
}

function noTokens(): never {
  throw new Error(
    'Cannot make a token: the registry was started without `auth: { kind: "bearer" }`',
  )
}

function may(
  accounts: Accounts,
  user: string | undefined,
  repository: string,
  action: string,
): boolean {
  if (action !== 'pull' && action !== 'push') return false
  if (accounts.access !== undefined) return accounts.access(user, repository, action)
  return user !== undefined || (accounts.anonymousPull === true && action === 'pull')
}

function mayEnter(
  accounts: Accounts,
  user: string | undefined,
  repository: string | undefined,
  action: Action,
): boolean {
  if (repository !== undefined) return may(accounts, user, repository, action)
  return user !== undefined || accounts.anonymousPull === true
}

/** @returns undefined without a Basic header */
function basicUser(
  accounts: Accounts,
  authorization: string | undefined,
): string | undefined | 'wrong' {
  const encoded = /^basic (.*)$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString()
  const at = text.indexOf(':')
  const user = text.slice(0, at)
  return at > 0 && passwordOf(accounts, user) === text.slice(at + 1) ? user : 'wrong'
}

function oauthUser(
  accounts: Accounts,
  form: URLSearchParams,
  refreshTokens: ReadonlyMap<string, string>,
): string | undefined {
  switch (form.get('grant_type')) {
    case 'refresh_token':
      return refreshTokens.get(form.get('refresh_token') ?? '')
    case 'password': {
      const user = form.get('username') ?? ''
      return passwordOf(accounts, user) === (form.get('password') ?? '') ? user : undefined
    }
    default:
      return undefined
  }
}

function passwordOf(accounts: Accounts, user: string): string | undefined {
  return Object.hasOwn(accounts.users, user) ? accounts.users[user] : undefined
}

interface Scope {
  readonly repository: string
  readonly actions: readonly string[]
}

/** `repository:acme/app:pull,push`, several of them in one parameter or in several. */
function parseScopes(parameters: readonly string[]): Scope[] {
  return parameters
    .flatMap((parameter) => parameter.split(' '))
    .map((scope) => /^repository:(.+):([a-z*,]+)$/.exec(scope))
    .filter((match) => match !== null)
    .map((match) => ({ repository: match[1] ?? '', actions: (match[2] ?? '').split(',') }))
}
