import { createHash } from 'node:crypto'
import { lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import { type Digest, isDigest } from '../../common/oci/digest.ts'
import { formatReference, type Reference } from '../../common/oci/reference.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import { createRecentFiles } from './recent-files.ts'
import { readRecord } from './record.ts'
import { readSmallFile, writeSmallFile } from './small-file.ts'

/** Who asks a registry: a salted hash of host, user and secret (see credential-identity.ts), or {@link ANYONE}. */
export type CredentialIdentity = string

/** Anonymous access: what anyone may read. */
export const ANYONE: CredentialIdentity = 'anyone'

/** That somebody was sent a manifest, whole, by who checks who may read it. */
export interface Proof {
  readonly identity: CredentialIdentity
  /** When; milliseconds since the epoch. Whoever asks judges its age, see {@link isOfAge}. */
  readonly provedMs: number
}

/**
 * Who has proved access to which manifest, and what each of them was last told a tag means. Presence in the cache is no permission,
 * and one tenant's pull never decides what a tag means for another.
 *
 * A record that cannot be read is no record: its owner asks the registry again. Identities are hashes, so that no file tells a secret.
 */
export interface AccessStore {
  /** The latest proof of one of `identities`; undefined when none of them was ever sent the manifest, or the record cannot be read. */
  proof(
    reference: Reference,
    digest: Digest,
    identities: readonly CredentialIdentity[],
  ): Promise<Proof | undefined>

  /** Records that `identity` received the manifest of `digest` just now from its registry, whole and verified. */
  recordProof(reference: Reference, digest: Digest, identity: CredentialIdentity): Promise<void>

  /** What the reference's tag last resolved to for the first of `identities` that has resolved it. */
  tagDigest(
    reference: Reference,
    identities: readonly CredentialIdentity[],
  ): Promise<Digest | undefined>

  /** Remembers what a tag resolved to; only after the manifest was verified and parsed. */
  recordTag(reference: Reference, digest: Digest, identity: CredentialIdentity): Promise<void>

  /**
   * Forgets what nobody has used since a moment, in milliseconds since the epoch, unless it is about a digest that is wanted. Whoever comes again asks
   * the registry again.
   *
   * @returns the digests that somebody may still read
   */
  removeOld(
    beforeMs: number,
    isWanted: (digest: Digest) => Promise<boolean>,
  ): Promise<ReadonlySet<Digest>>
}

/**
 * Answers whether a proof counts: it is not older than `maxAgeMs`. One from the future is none, since a clock that was wrong
 * would make it last for ever.
 */
export function isOfAge({ provedMs }: Proof, nowMs: number, maxAgeMs: number): boolean {
  return provedMs <= nowMs && nowMs - provedMs <= maxAgeMs
}

/** Of one artifact; a cloud's secrets change twice a day, and each is another identity. Those used last stay. */
const MAX_IDENTITIES = 1_000
/** A use is noted so often, not each time: it is to be found out what nobody has used for a month. */
const NOTE_EVERY_MS = 24 * 60 * 60 * 1_000
/** Kept in memory, a thousand files of so many take 4 MB. */
const MAX_REMEMBERED_IDENTITIES = 16

/**
 * @param directories `proofs`: the store's `access/`; `tags`: its `refs/`
 * @param now milliseconds since the epoch
 */
export function createAccessStore(options: {
  readonly directories: { readonly proofs: string; readonly tags: string }
  readonly now?: () => number
}): AccessStore {
  const { directories, now = Date.now } = options
  const files = createKeyedLock()
  const proofsSeen = createRecentFiles<ReadonlyMap<CredentialIdentity, ProofTimes>>(
    ({ size }) => size <= MAX_REMEMBERED_IDENTITIES,
  )
  const tagsSeen = createRecentFiles<SeenTags>(
    ({ entries }) => entries.size <= MAX_REMEMBERED_IDENTITIES,
  )
  const forget = (path: string) => {
    proofsSeen.forget(path)
    tagsSeen.forget(path)
  }

  const proofsPath = (reference: Reference, digest: Digest) =>
    hashedPath(directories.proofs, proofsName(reference, digest))
  const tagsPath = ({ registry, repository, tag = 'latest' }: Reference) =>
    hashedPath(directories.tags, `${registry}/${repository}:${tag}`)

  const update = async <T>(
    path: string,
    parse: (value: unknown) => Map<string, T>,
    change: (entries: Map<string, T>) => void,
    name: string,
  ) => {
    using _ = await files.acquire(path)
    const file = await readSmallFile(path, parse)
    const entries = file.state === 'ok' ? file.value : new Map<string, T>()
    change(entries)
    for (const identity of entries.keys()) {
      if (entries.size <= MAX_IDENTITIES) break
      entries.delete(identity)
    }
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await writeSmallFile(path, JSON.stringify({ name, entries: Object.fromEntries(entries) }))
    } finally {
      forget(path)
    }
  }

  const changeProofs = (
    reference: Reference,
    digest: Digest,
    change: (entries: Map<CredentialIdentity, ProofTimes>) => void,
  ) => {
    const name = proofsName(reference, digest)
    return update(
      proofsPath(reference, digest),
      (value) => parseProofsOf(value, name),
      change,
      name,
    )
  }
  const remove = async (path: string, beforeMs: number) => {
    try {
      await removeOldFile(path, beforeMs)
    } finally {
      forget(path)
    }
  }
  const recordTag = (reference: Reference, digest: Digest, identity: CredentialIdentity) =>
    update(
      tagsPath(reference),
      parseTags,
      (entries) => putLast(entries, identity, digest),
      formatReference(reference),
    )

  return {
    async proof(reference, digest, identities) {
      const name = proofsName(reference, digest)
      const path = proofsPath(reference, digest)
      const proofs = await proofsSeen.get(path, async () => {
        const file = await readSmallFile(path, (value) => parseProofsOf(value, name))
        return file.state === 'ok' ? file.value : undefined
      })
      if (proofs === undefined) return undefined
      let latest: Proof | undefined
      for (const identity of identities) {
        const found = proofs.get(identity)
        if (found === undefined) continue
        const { provedMs } = found
        if (latest === undefined || provedMs > latest.provedMs) latest = { identity, provedMs }
      }
      if (latest === undefined) return undefined
      const usedMs = proofs.get(latest.identity)?.usedMs ?? 0
      if (now() - usedMs > NOTE_EVERY_MS) {
        const { identity } = latest
        await changeProofs(reference, digest, (entries) => {
          const before = entries.get(identity)
          // Used again, not proved again: its age stays.
          if (before !== undefined) putLast(entries, identity, { ...before, usedMs: now() })
        })
      }
      return latest
    },

    recordProof: (reference, digest, identity) =>
      changeProofs(reference, digest, (entries) =>
        putLast(entries, identity, { provedMs: now(), usedMs: now() }),
      ),

    async tagDigest(reference, identities) {
      const path = tagsPath(reference)
      const tags = await tagsSeen.get(path, async () => {
        const notedMs = await modifiedMs(path)
        const file = await readSmallFile(path, parseTags)
        return file.state === 'ok' ? { entries: file.value, notedMs } : undefined
      })
      if (tags === undefined) return undefined
      for (const identity of identities) {
        const digest = tags.entries.get(identity)
        if (digest === undefined) continue
        if (now() - tags.notedMs > NOTE_EVERY_MS) {
          await recordTag(reference, digest, identity)
        }
        return digest
      }
      return undefined
    },

    recordTag,

    async removeOld(beforeMs, isWanted) {
      const readable = new Set<Digest>()
      for await (const path of eachFile(directories.proofs)) {
        using _ = await files.acquire(path)
        const file = await readSmallFile(path, parseProofOf)
        const isKept =
          file.state === 'ok' &&
          (file.value.usedMs >= beforeMs || (await isWanted(file.value.digest)))
        if (isKept) readable.add(file.value.digest)
        else await remove(path, beforeMs)
      }
      for await (const path of eachFile(directories.tags)) {
        using _ = await files.acquire(path)
        const file = await readSmallFile(path, parseTags)
        const isKept =
          file.state === 'ok' && [...file.value.values()].some((digest) => readable.has(digest))
        if (!isKept) await remove(path, beforeMs)
      }
      return readable
    },
  }
}

/**
 * Lists the tags that were ever resolved and what each was last found to mean, by whoever asked.
 *
 * @param directory the store's `refs/`
 */
export async function* listTags(
  directory: string,
): AsyncGenerator<{ readonly name: string; readonly digests: ReadonlySet<Digest> }> {
  for await (const path of eachFile(directory)) {
    const file = await readSmallFile(path, (value) => ({
      name: readRecord(value).text('name'),
      digests: new Set(parseTags(value).values()),
    }))
    if (file.state === 'ok') yield file.value
  }
}

/** Maps keep the order of insertion: the first is the one that was used longest ago. */
function putLast<T>(entries: Map<string, T>, key: string, value: T): void {
  entries.delete(key)
  entries.set(key, value)
}

/** What was written meanwhile stays; so does a file that is just being written. */
async function removeOldFile(path: string, beforeMs: number): Promise<void> {
  if ((await modifiedMs(path)) < beforeMs) await rm(path, { force: true })
}

async function modifiedMs(path: string): Promise<number> {
  try {
    return (await lstat(path)).mtimeMs
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return Number.POSITIVE_INFINITY
    throw error
  }
}

async function* eachFile(directory: string): AsyncGenerator<string> {
  for (const prefix of await readdir(directory)) {
    for (const name of await readdir(join(directory, prefix))) yield join(directory, prefix, name)
  }
}

function hashedPath(directory: string, name: string): string {
  const hash = createHash('sha256').update(name).digest('hex')
  return join(directory, hash.slice(0, 2), `${hash}.json`)
}

/** `registry/repository@digest`: what a file of proofs is about. */
function proofsName({ registry, repository }: Reference, digest: Digest): string {
  return `${registry}/${repository}@${digest}`
}

/** What a tag means for whom, and when its file was last written: when it was noted that somebody uses it. */
interface SeenTags {
  readonly entries: ReadonlyMap<CredentialIdentity, Digest>
  readonly notedMs: number
}

/** When somebody was sent the manifest, and when he last came for it. */
interface ProofTimes {
  readonly provedMs: number
  readonly usedMs: number
}

function parseProofs(value: unknown): Map<CredentialIdentity, ProofTimes> {
  const entries = readRecord(value).record('entries')
  return new Map(
    entries.keys().map((identity) => {
      const times = entries.record(identity)
      return [
        identity,
        { provedMs: times.integer('provedMs'), usedMs: times.integer('usedMs') },
      ] as const
    }),
  )
}

/** The same of a file that is about `name`, and not one that got into its place. */
function parseProofsOf(value: unknown, name: string): Map<CredentialIdentity, ProofTimes> {
  if (readRecord(value).text('name') !== name) throw new TypeError('name is another')
  return parseProofs(value)
}

/** Whose proofs a file holds, and when one of them was used last. */
function parseProofOf(value: unknown): { readonly digest: Digest; readonly usedMs: number } {
  const digest = readRecord(value).text('name').split('@')[1] ?? ''
  if (!isDigest(digest)) throw new TypeError('name has no digest')
  const used = parseProofs(value)
    .values()
    .map(({ usedMs }) => usedMs)
  return { digest, usedMs: Math.max(0, ...used) }
}

function parseTags(value: unknown): Map<CredentialIdentity, Digest> {
  const entries = readRecord(value).record('entries')
  const tags = new Map<CredentialIdentity, Digest>()
  for (const identity of entries.keys()) {
    const digest = entries.text(identity)
    if (!isDigest(digest)) throw new TypeError(`${identity} has no digest`)
    tags.set(identity, digest)
  }
  return tags
}
