import { matchesStarGlob } from '../composition/star-glob.ts'
import type { Reference } from '../oci/reference.ts'
import type { PolicyEffect } from './policy.ts'
import { canonicalHost, canonicalPort, registryName, splitPort } from './registry-name.ts'

/**
 * Which references a rule is about: `HOST[:PORT]/REPOSITORY`, without tag and digest.
 *
 * `*` is any run of characters, of the host or of the repository but never of both: `ghcr.io/acme/*` is everything below `acme`, and neither
 * `ghcr.io/acme-evil/x` nor `ghcr.io.evil.example/acme/x`. `**` means the same as `*`.
 *
 * | glob | matches | does not match |
 * |---|---|---|
 * | `ghcr.io/acme/*` | `ghcr.io/acme/a`, `ghcr.io/acme/a/b`, `GHCR.IO:443/acme/a` | `ghcr.io/acme`, `ghcr.io:5000/acme/a` (a deny rule matches it) |
 * | `ghcr.io/*` | all of ghcr.io | `eu.ghcr.io/a` |
 * | `*.acme.example/*` | `eu.acme.example/a`, `a.b.acme.example/a` | `acme.example/a` |
 * | `acme.example:*\/tools` | `tools` of that host at any port | |
 * | `*\/mirror/*` | `mirror/...` of every registry at any port | |
 *
 * Names of Docker Hub (`docker.io`, `index.docker.io`, `registry-1.docker.io`) are one registry.
 */
export interface ReferenceGlob {
  /** As it was written. */
  readonly text: string
  readonly host: string
  /** Empty: the one of https; absent: as for a registry that is named without a port, and for a deny rule any. */
  readonly port?: string
  readonly repository: string
}

const HOST = /^(?:[a-zA-Z0-9*-]+(?:\.[a-zA-Z0-9*-]+)*|\[[a-fA-F0-9:]+\])$/
const REPOSITORY = /^[a-z0-9._*-]+(?:\/[a-z0-9._*-]+)*$/
/** Longer ones match nothing. @see parseReference */
const MAX_LENGTH = 512

/** Reads a glob; what is wrong with it comes back as text that completes "Invalid ...: ". */
export function parseReferenceGlob(
  text: string,
): { readonly glob: ReferenceGlob } | { readonly problem: string } {
  const quoted = JSON.stringify(text.slice(0, 200))
  const wrong = (why: string) => ({ problem: `${quoted} ${why}` })
  if (text.length > MAX_LENGTH) return wrong(`is longer than ${MAX_LENGTH} characters`)
  if (/^[a-z]+:\/\//.test(text)) return wrong('has a scheme; expected e.g. "ghcr.io/acme/*"')
  const slash = text.indexOf('/')
  if (slash < 0) {
    const everything = /^\*+$/.test(text)
    return wrong(
      everything
        ? 'has no "/"; leave "references" out to mean every reference'
        : `has no repository; expected e.g. "${text.slice(0, 100)}/*" for all of a registry`,
    )
  }
  const repository = text.slice(slash + 1)
  const { host, port } = splitPort(text.slice(0, slash))
  const problem = hostProblem(host) ?? portProblem(port) ?? repositoryProblem(text, repository)
  if (problem !== undefined) return wrong(problem)
  const isEvery = /^\*+$/.test(host)
  const wanted = port ?? (isEvery ? '*' : undefined)
  return {
    glob: {
      text,
      host: host.includes('*') ? host.toLowerCase() : canonicalHost(host),
      ...(wanted !== undefined && { port: canonicalPort(wanted) }),
      repository,
    },
  }
}

/** A reference as globs are held against it. */
export interface GlobTarget {
  /** All names of the host, each of which a glob may match. */
  readonly hosts: readonly string[]
  readonly port: string
  readonly repository: string
}

export function globTarget({ registry, repository }: Reference): GlobTarget {
  const { host, port } = registryName(registry)
  // As written too: `*.docker.io` means `index.docker.io`.
  return { hosts: [host, splitPort(registry).host.toLowerCase()], port, repository }
}

/** @param effect of the rule: one that denies and names no port means every port */
export function matchesGlob(
  glob: ReferenceGlob,
  { hosts, port, repository }: GlobTarget,
  effect: PolicyEffect,
): boolean {
  return (
    hosts.some((host) => matchesStarGlob(glob.host, host)) &&
    matchesPort(glob.port, port, effect) &&
    matchesStarGlob(glob.repository, repository)
  )
}

function matchesPort(wanted: string | undefined, port: string, effect: PolicyEffect): boolean {
  if (wanted === undefined) return effect === 'deny' || port === ''
  return wanted === '*' || wanted === port
}

function hostProblem(host: string): string | undefined {
  if (!HOST.test(host)) {
    return `has no registry host before its first "/"; expected e.g. "ghcr.io/acme/*"`
  }
  if (/^\*+$/.test(host)) return undefined
  const labels = host.split('.')
  // `ghcr.io*` is also `ghcr.io.evil.example`, and `*ghcr.io` is also `evilghcr.io`: anybody can have such a name.
  if (labels.at(-1)?.includes('*')) {
    return `has "*" in the last part of its host, and so would match hosts of anybody; expected the end of the host, e.g. "*.acme.example/*", or "*/..." for every registry`
  }
  const domain = labels.at(-2) ?? ''
  if (domain.includes('*') && !/^\*+$/.test(domain)) {
    const own = labels.slice(-2).join('.').replaceAll('*', '')
    return `would match hosts of anybody, such as "evil${own}"; expected "*.${own}" or "${own}"`
  }
  return undefined
}

function portProblem(port: string | undefined): string | undefined {
  if (port === undefined || port === '*') return undefined
  const number = /^[0-9]{1,5}$/.test(port) ? Number(port) : 0
  if (number >= 1 && number <= 65_535) return undefined
  return `has the port ${JSON.stringify(port.slice(0, 20))}; expected 1 to 65535, or "*" for any`
}

function repositoryProblem(text: string, repository: string): string | undefined {
  if (REPOSITORY.test(repository)) return undefined
  if (/[:@]/.test(repository)) {
    const name = text.replace(/@.*$/, '').replace(/:[^:/]*$/, '')
    return `has a tag or digest; rules are about repositories: expected "${name}"`
  }
  if (repository === '' || repository.endsWith('/')) {
    return `has no repository at its end; expected "${text}*" for all below it`
  }
  const lower = repository.toLowerCase()
  if (REPOSITORY.test(lower)) {
    return `has capital letters in its repository, which no repository has; expected "${lower}"`
  }
  return `has no repository after its first "/"; expected lowercase letters, digits, ".", "_", "-", "/" and "*"`
}
