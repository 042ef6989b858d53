import type { Policy } from '../common/policy/policy.ts'
import { loadPolicy } from '../common/policy/policy-file.ts'
import { type AdmissionPolicy, createAdmissionPolicy } from '../webhook/admission-policy.ts'
import type { FileFinding } from './finding-text.ts'
import type { Manifest, ManifestDocument } from './manifest.ts'
import { placeOfFinding } from './manifest-place.ts'
import {
  type ObjectPath,
  type ReviewContext,
  type ReviewedObject,
  reviewObject,
} from './object-review.ts'

/** What becomes of one document of a manifest. */
export interface ReviewedDocument {
  readonly document: ManifestDocument
  /** Undefined for an empty document. */
  readonly review: ReviewedObject | undefined
  /** Those of the review, with their places in the file. */
  readonly findings: readonly FileFinding[]
}

/** Reviews every document of a manifest. */
export function reviewManifest(
  manifest: Manifest,
  context: ReviewContext,
): readonly ReviewedDocument[] {
  return manifest.documents.map((document) => {
    if (document.object === undefined) return { document, review: undefined, findings: [] }
    const review = reviewObject(document.object, context)
    const findings = review.findings.map((finding) => ({
      file: manifest.name,
      ...placeOfFinding(manifest, document, finding),
      severity: finding.severity,
      ...(finding.code !== undefined && { code: finding.code }),
      ...{ message: finding.message, object: finding.name },
      path: pathText(finding.path),
    }))
    return { document, review, findings }
  })
}

/** `spec.template.metadata.annotations["oras.land/artifacts"]` */
export function pathText(path: ObjectPath): string {
  return path
    .map((step) =>
      typeof step === 'string' && /^[a-zA-Z]\w*$/.test(step)
        ? `.${step}`
        : `[${JSON.stringify(step)}]`,
    )
    .join('')
    .replace(/^\./, '')
}

/** Holds manifests against a policy; nobody counts what it denies. */
export function policyOfFile(policy: Policy): AdmissionPolicy {
  return createAdmissionPolicy({ current: () => policy, observer: { denied: () => {} } })
}

/** @throws NOT_FOUND, INVALID naming the file, the line and what was expected */
export async function loadReviewPolicy(path: string): Promise<AdmissionPolicy> {
  return policyOfFile((await loadPolicy(path)).policy)
}
