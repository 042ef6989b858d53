import type { NodeKeyring } from '../common/oci/credential-candidates.ts'

/** One credential of the node that was looked for, and whether there is one. No secret is in it. */
export interface TracedLookup {
  /** What it is of, and why there is none, e.g. `credential provider "ecr" (exit code 1)`. */
  readonly label: string
  /** The host, or the name, for which it was looked for. */
  readonly registry: string
  readonly found: boolean
}

/** A keyring that remembers what it was asked. */
export interface TracedKeyring extends NodeKeyring {
  readonly lookups: readonly TracedLookup[]
  /** The label of the credential that was tried last, unless another way to ask was tried since. */
  readonly inUse: string | undefined
}

/** Notes what is looked for in a keyring, which stays its owner's. */
export function traceKeyring(keyring: NodeKeyring): TracedKeyring {
  const lookups: TracedLookup[] = []
  let inUse: string | undefined
  return {
    lookups,
    get inUse() {
      return inUse
    },
    async *lookup(registry, repository, signal) {
      for await (const candidate of keyring.lookup(registry, repository, signal)) {
        const { label, credential } = candidate
        lookups.push({ label, registry, found: credential !== undefined })
        if (credential !== undefined) inUse = label
        yield candidate
        // Who comes back for more was refused.
        inUse = undefined
      }
    },
  }
}
