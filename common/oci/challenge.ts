/** What a registry asks for, from `WWW-Authenticate`. */
export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer'
      /** Where tokens are issued; http or https, without user or fragment. */
      readonly realm: string
      readonly service: string | undefined
      readonly scope: string | undefined
    }

// RFC 9110 section 11.2: auth-param = token "=" ( token / quoted-string ). One class before it: `\s*,?\s*` tries each way to split a run of blanks.
const PARAMETER = /[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y
const SCHEME = /[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=\s|,|$)/y
/** Ten times what registries send. */
const MAX_HEADER = 2048

/**
 * Reads a `WWW-Authenticate` header, which may hold several challenges: Bearer before Basic, others are not known.
 *
 * @returns undefined when there is none that can be met
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  if (header === undefined || header.length > MAX_HEADER) return undefined
  let basic: Challenge | undefined
  for (const [scheme, parameters] of challengesOf(header)) {
    if (scheme === 'basic') basic = { scheme }
    const realm = scheme === 'bearer' && realmUrl(parameters.get('realm'))
    if (scheme === 'bearer' && realm) {
      const service = parameters.get('service')
      return { scheme, realm, service, scope: parameters.get('scope') }
    }
  }
  return basic
}

function* challengesOf(header: string): Iterable<[string, ReadonlyMap<string, string>]> {
  let at = 0
  while (at < header.length) {
    SCHEME.lastIndex = at
    const scheme = SCHEME.exec(header)?.[1]
    if (scheme === undefined) return
    at = SCHEME.lastIndex
    const parameters = new Map<string, string>()
    for (;;) {
      PARAMETER.lastIndex = at
      const match = PARAMETER.exec(header)
      if (match === null) break
      const [, name = '', quoted, plain] = match
      parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '')
      at = PARAMETER.lastIndex
    }
    yield [scheme.toLowerCase(), parameters]
  }
}

function realmUrl(realm: string | undefined): string | undefined {
  const url = realm === undefined ? null : URL.parse(realm)
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined
  if (url.username !== '' || url.password !== '') return undefined
  url.hash = ''
  return url.href
}
