import type { Reference } from '../oci/reference.ts'
import type { ReferenceGlob } from './reference-glob.ts'

/** What becomes of a source. */
export type PolicyEffect = 'allow' | 'deny'

/**
 * What an admin lets pods mount, as a YAML file says it:
 *
 * ```yaml
 * apiVersion: csi.oras.land/v1alpha1
 * kind: Policy
 * rules:                                     # in order; the first that matches decides
 * - name: no-legacy
 *   references: ["ghcr.io/acme/legacy/*"]    # left out: every reference
 *   effect: deny
 * - name: shops
 *   namespaces: [shop, "shop-*"]             # left out: every namespace
 *   references: ["ghcr.io/acme/*", "registry.acme.example:5000/*"]
 *   effect: allow
 *   requireDigest: true                      # default false
 *   maxBytes: 5Gi                            # of the layers that a source selects, as the manifest has them; default: any
 *   maxFiles: 10000                          # files, directories and links of the artifact; default: any
 *   writable: false                          # whether volumes may be writable; default true
 *   plainHttp: false                         # whether pods may ask for plain HTTP; default false
 *   insecureTls: false                       # whether pods may ask for unverified TLS; default false
 * default: deny                              # where no rule matches; must be said
 * ```
 *
 * - A rule matches by namespace and reference alone. The **first** that matches decides, and no later one is looked at: what an allow rule
 *   limits and a source passes is denied, also where a later rule would allow it.
 * - Every source of a volume has to be allowed, each by its own rule.
 * - `default: allow` is everything over TLS, as without a policy; `plainHttp` and `insecureTls` always need a rule. They let a pod ask: the
 *   hosts.toml of the registry still has to say so too.
 * - `*` is the only wildcard, and stands for any characters, also for `/` in a repository (see {@link ReferenceGlob}). A deny rule knows a
 *   registry by its names only: it stops mistakes, and only `default: deny` stops somebody who runs a registry himself.
 * - Where the namespace is not known, only what would be allowed in every namespace is.
 * - A volume that is mounted stays; a policy is asked when a volume is published, and when a pod is admitted.
 */
export interface Policy {
  /** Names are unique. */
  readonly rules: readonly PolicyRule[]
  readonly default: PolicyEffect
}

export type PolicyRule = DenyRule | AllowRule

export interface DenyRule extends RuleMatch {
  readonly effect: 'deny'
}

export interface AllowRule extends RuleMatch {
  readonly effect: 'allow'
  readonly requireDigest: boolean
  /** Absent: any. */
  readonly maxBytes?: number
  /** Absent: any. */
  readonly maxFiles?: number
  readonly writable: boolean
  readonly plainHttp: boolean
  readonly insecureTls: boolean
}

/** What a rule is about. */
export interface RuleMatch {
  readonly name: string
  /** Where it begins in the file. */
  readonly line: number
  /** Names, or globs with `*`; absent: every namespace. */
  readonly namespaces?: readonly string[]
  /** Absent: every reference. */
  readonly references?: readonly ReferenceGlob[]
}

/** One source of a volume, as a policy sees it before a registry is asked. */
export interface PolicySubject {
  /** Of the pod; undefined where nobody who can be trusted has said it. */
  readonly namespace: string | undefined
  readonly reference: Reference
  readonly writable: boolean
  /** The pod asks for it. */
  readonly plainHttp: boolean
  /** The pod asks for unverified TLS. */
  readonly insecureTls: boolean
}

export const POLICY_API_VERSION = 'csi.oras.land/v1alpha1'
export const POLICY_KIND = 'Policy'
