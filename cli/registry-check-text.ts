import { formatStatus } from '../common/oci/request-failure.ts'
import type { HostCheck } from './host-check.ts'
import type { RegistryCheck, Trust } from './registry-check.ts'
import type { TracedLookup } from './traced-keyring.ts'
import type { TracedRequest } from './traced-transport.ts'

/** Writes a check for people: what was found, each host in turn, and what comes of it. */
export function formatRegistryCheck(check: RegistryCheck): string {
  const { configuration, looked, warnings, hosts, verdict } = check
  const lines = [
    check.reference,
    '',
    ...rows([
      [
        'hosts',
        configuration ?? `nothing is configured for this registry: verified TLS to its own name`,
      ],
      ...looked
        .filter((directory) => !configuration?.startsWith(directory))
        .map((directory): Row => ['', `looked for ${directory}`]),
      ...warnings.map((warning): Row => ['warning', warning]),
      ...(check.credentialProviders === undefined
        ? []
        : [['programs', describeProviders(check.credentialProviders)] as const]),
    ]),
  ]
  for (const [index, host] of hosts.entries()) {
    lines.push('', `${index + 1}. ${host.role} ${host.name}`, ...rows(hostRows(host)))
  }
  return [...lines, '', ...verdict.says, ''].join('\n')
}

type Row = readonly [label: string, text: string]

function hostRows(host: HostCheck & { readonly trust: Trust }): readonly Row[] {
  const { addresses, proxy, headers, credentials, names, failure } = host
  return [
    ['asked for', abilities(host)],
    ...(host.kind === 'layout-directory' ? [] : [['trust', describeTrust(host.trust)] as const]),
    ...(proxy === undefined ? [] : [['through', `proxy ${proxy}`] as const]),
    ...(addresses.length === 0 ? [] : [['address', addresses.join(', ')] as const]),
    ...(headers.length === 0 ? [] : [['headers', headers.join(', ')] as const]),
    ...(credentials === undefined ? [] : [['may send', credentials.join(', ')] as const]),
    ...host.requests.flatMap(requestRows),
    ...host.lookups.map(lookupRow),
    names === undefined
      ? ['fails', failure ?? 'no answer']
      : ['names', `${names.digest} (${names.mediaType}, ${names.size} bytes)`],
  ]
}

function abilities({ mayPull, mayResolve, authoritative }: HostCheck): string {
  const list = [...(mayResolve ? ['tags'] : []), ...(mayPull ? ['content'] : [])]
  const proof = authoritative ? 'its answer proves access' : 'its answer proves no access'
  return `${list.length === 0 ? 'nothing' : list.join(' and ')}; ${proof}`
}

function describeTrust({ tls, skipVerify, ca, client }: Trust): string {
  if (!tls) return 'none: plain HTTP'
  const authorities = ["the system's authorities", ...ca].join(' and ')
  const shown = client.length === 0 ? '' : `; shows ${client.join(', ')} if asked`
  return (skipVerify ? 'any certificate (skip_verify)' : authorities) + shown
}

function requestRows({
  method,
  url,
  authorization,
  seconds,
  ...answer
}: TracedRequest): readonly Row[] {
  const sent = authorization === undefined ? '' : ` with ${authorization}`
  const result =
    answer.status === undefined
      ? (answer.failure ?? 'no answer')
      : `${formatStatus(answer.status)} in ${seconds.toFixed(3)} s`
  return [
    ['request', `${method} ${url}${sent}`],
    ['', `-> ${result}`],
    ...(answer.asks === undefined ? [] : [['', `   asks for ${answer.asks}`] as const]),
  ]
}

function lookupRow({ label, registry, found }: TracedLookup): Row {
  return [
    'program',
    found ? `${label} has credentials for ${registry}` : `${label} for ${registry}`,
  ]
}

function describeProviders(names: readonly string[]): string {
  const list = names.map((name) => JSON.stringify(name)).join(', ')
  return `credential providers ${list}: run as the driver does, with this environment`
}

const LABEL_WIDTH = 11

function rows(list: readonly Row[]): readonly string[] {
  return list.map(([label, text]) => `   ${label.padEnd(LABEL_WIDTH)}${text}`)
}
