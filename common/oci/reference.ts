import { CodedError } from '../errors.ts'
import { type Digest, isDigest } from './digest.ts'

/**
 * Names an artifact: `registry/repository[:tag][@digest]`.
 *
 * The first component is always the registry's host, as in `oras`: `acme/app:1` is `app:1` at host `acme`.
 */
export interface Reference {
  /** Host with optional port: `ghcr.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string
  /** e.g. `acme/app` */
  readonly repository: string
  readonly tag?: string
  readonly digest?: Digest
}

// Grammar: distribution-spec 1.1 "Pulling manifests" for repository and tag; the host as in the reference package of
// distribution (domain names, IPv4, bracketed IPv6).
const HOST =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$/
const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const MAX_LENGTH = 1024
const MAX_REPOSITORY_LENGTH = 255

/**
 * Reads `registry/repository[:tag][@digest]`; neither tag nor digest is demanded here.
 *
 * @throws INVALID saying which part is wrong and what it should be
 */
export function parseReference(text: string): Reference {
  if (text.length > MAX_LENGTH) throw invalid(text, `longer than ${MAX_LENGTH} characters`)
  if (text === '') {
    throw invalid(text, 'empty; expected registry/repository:tag, e.g. "ghcr.io/acme/app:v1"')
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//.test(text)) {
    throw invalid(text, 'expected no scheme, e.g. "ghcr.io/acme/app:v1"')
  }
  const slash = text.indexOf('/')
  if (slash < 0) {
    throw invalid(
      text,
      `no registry; expected registry/repository:tag, e.g. "docker.io/library/${text}"`,
    )
  }
  const registry = parseRegistry(text, text.slice(0, slash))
  const [name, digestText] = splitOnce(text.slice(slash + 1), '@')
  const [repository, tag] = splitOnce(name, ':')
  if (digestText !== undefined && !isDigest(digestText)) {
    throw invalid(
      text,
      `"${digestText.slice(0, 150)}" is not a digest; expected "sha256:" and 64 lowercase hex characters`,
    )
  }
  if (tag !== undefined && !TAG.test(tag)) {
    throw invalid(
      text,
      `"${tag}" is not a tag; expected up to 128 letters, digits, ".", "_" and "-", not starting with "." or "-"`,
    )
  }
  if (!REPOSITORY.test(repository)) {
    const lower = repository.toLowerCase()
    const hint = lower !== repository && REPOSITORY.test(lower) ? `, e.g. "${lower}"` : ''
    throw invalid(
      text,
      `"${repository}" is not a repository; expected lowercase letters, digits, separators "." "_" "-" and "/"${hint}`,
    )
  }
  if (repository.length > MAX_REPOSITORY_LENGTH) {
    throw invalid(text, `the repository is longer than ${MAX_REPOSITORY_LENGTH} characters`)
  }
  return {
    registry,
    repository,
    ...(tag !== undefined && { tag }),
    ...(digestText !== undefined && { digest: digestText }),
  }
}

/** Answers whether `text` can be a repository's name, e.g. `acme/app`. */
export function isRepository(text: string): boolean {
  return text.length <= MAX_REPOSITORY_LENGTH && REPOSITORY.test(text)
}

/** Writes a reference so that {@link parseReference} reads it back equal. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`
  return `${reference.registry}/${reference.repository}${tag}${digest}`
}

function parseRegistry(text: string, registry: string): string {
  if (!HOST.test(registry)) {
    throw invalid(text, `"${registry}" is not a registry host, e.g. "ghcr.io" or "localhost:5000"`)
  }
  const port = /:([0-9]+)$/.exec(registry)?.[1]
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535)) {
    throw invalid(text, `port ${port} is not within 1 to 65535`)
  }
  return registry
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function invalid(text: string, why: string): CodedError {
  return new CodedError(
    'INVALID',
    `Invalid reference ${JSON.stringify(text.slice(0, 200))}: ${why}`,
  )
}
