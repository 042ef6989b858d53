import type { Reference } from '../common/oci/reference.ts'
import type { HostCheck } from './host-check.ts'

/** What the driver would make of the hosts' answers. */
export interface Verdict {
  readonly works: boolean
  /** Sentences, e.g. `"v1" means sha256:... by "https://registry.example.com"`. */
  readonly says: readonly string[]
}

/** Goes the driver's way: what the tag means, whose answer proves that the pod may read, where the bytes come from. */
export function judge(hosts: readonly HostCheck[], reference: Reference): Verdict {
  const good = hosts.filter(({ names }) => names !== undefined)
  const resolver = good.find(({ mayResolve, mayPull }) =>
    reference.digest === undefined ? mayResolve : mayPull,
  )
  const digest = reference.digest ?? resolver?.names?.digest
  const prover = good.find(
    ({ authoritative, mayPull, names, alsoHas }) =>
      authoritative && mayPull && [names?.digest, alsoHas].includes(digest),
  )
  const bytes = good.find(({ mayPull }) => mayPull)
  const tag = reference.tag ?? ''
  const says = [
    ...(reference.digest !== undefined
      ? []
      : [
          resolver === undefined
            ? `Nobody who may say so says what "${tag}" means.`
            : `"${tag}" means ${digest}, says "${resolver.name}".`,
        ]),
    prover === undefined
      ? 'Nobody whose answer counts proves that the pod may read it.'
      : `That the pod may read it is proved by "${prover.name}"${byWhom(prover)}.`,
    ...(bytes === undefined ? [] : [`The bytes are asked of "${bytes.name}" first.`]),
    ...good
      .filter(({ names }) => names?.digest !== digest)
      .map(({ name, names }) => `Beware: to "${name}" it means ${names?.digest}.`),
  ]
  const works = resolver !== undefined && prover !== undefined && bytes !== undefined
  return {
    works,
    says: [works ? 'The driver can pull this.' : 'The driver cannot pull this.', ...says],
  }
}

function byWhom({ credential, nodeCredential, kind }: HostCheck): string {
  if (kind !== 'registry') return ''
  if (nodeCredential !== undefined) return `, to every pod of the node, by its ${nodeCredential}`
  return credential === undefined ? ', to anyone' : `, with the credentials of ${credential}`
}
