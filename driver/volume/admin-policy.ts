import type { Source } from '../../common/composition/composition.ts'
import { CodedError } from '../../common/errors.ts'
import { type ArtifactFacts, contentBreach, decide } from '../../common/policy/decide.ts'
import type { OpenPolicy } from '../../common/policy/open-policy.ts'
import type { AllowRule, PolicySubject } from '../../common/policy/policy.ts'
import { layout, layoutOptionsOf } from '../pull/layout/layout.ts'
import type { Resolved } from '../pull/manifest/resolver.ts'
import type { TreeFacts } from '../store/trees.ts'
import type { Volume } from './volume.ts'

/** Holds volumes against the admin's policy. */
export interface AdminPolicy {
  /**
   * Decides about all sources of a volume before a registry is asked about any.
   *
   * @returns what their artifacts are held against; the policy as it is now, also should it change until they are known
   * @throws DENIED naming the rule, and what would be allowed
   */
  admit(volume: Pick<Volume, 'pod' | 'spec'>): ContentPolicy
}

/** Holds the artifacts of one volume against the limits of those rules that allow its sources. */
export interface ContentPolicy {
  /**
   * To be asked once the manifest is known, and before anything of it is downloaded or shown; whether it is cached makes no difference.
   *
   * @throws DENIED when it has too much
   */
  checkManifest(source: Source, resolved: Pick<Resolved, 'manifest'>): void
  /**
   * To be asked before a tree is shown: what archives hold is known only then.
   *
   * @throws DENIED when it has too many files
   */
  checkTree(source: Source, tree: Pick<TreeFacts, 'inodes'>): void
}

/** Where no admin has a policy. */
export const NO_POLICY: AdminPolicy = {
  admit: () => ({ checkManifest: () => undefined, checkTree: () => undefined }),
}

export function createAdminPolicy(options: OpenPolicy): AdminPolicy {
  const deny = (rule: string | undefined, message: string) => {
    options.observer.denied(rule)
    return new CodedError('DENIED', message)
  }
  return {
    admit({ pod, spec }) {
      const policy = options.current()
      const allowed = new Map<Source, Allowed>()
      for (const source of spec.sources) {
        const subject: PolicySubject = {
          // Empty where the kubelet has not said it: somebody has called the socket by hand.
          namespace: pod.namespace === '' ? undefined : pod.namespace,
          reference: source.reference,
          writable: spec.writable === true,
          plainHttp: spec.plainHttp,
          insecureTls: spec.insecure,
        }
        const decision = decide(policy, subject)
        if (decision.effect === 'deny') throw deny(decision.rule?.name, decision.message)
        allowed.set(source, { limits: decision.limits, subject })
      }
      const check = (source: Source, facts: () => ArtifactFacts) => {
        const known = allowed.get(source)
        if (known === undefined) throw new CodedError('INTERNAL', 'A source that nobody allowed')
        const { limits, subject } = known
        if (limits.length === 0) return
        const breach = contentBreach(limits, subject, facts())
        if (breach !== undefined) throw deny(breach.rule.name, breach.message)
      }
      return {
        checkManifest: (source, { manifest }) => check(source, () => factsOf(source, manifest)),
        checkTree: (source, { inodes }) => check(source, () => ({ files: inodes })),
      }
    },
  }
}

interface Allowed {
  readonly limits: readonly AllowRule[]
  readonly subject: PolicySubject
}

/** What the source will download, and how many files are sure to come of it: an archive may have none. */
function factsOf(source: Source, manifest: Resolved['manifest']): ArtifactFacts {
  const { bytes, steps } = layout(manifest, layoutOptionsOf(source))
  return { bytes, files: steps.filter(({ kind }) => kind === 'link').length }
}
