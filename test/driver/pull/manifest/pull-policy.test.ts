import { expect, test } from 'vitest'
import type { PullPolicy } from '../../../../common/composition/composition.ts'
import { parseReference } from '../../../../common/oci/reference.ts'
import { effectivePullPolicy } from '../../../../driver/pull/manifest/resolver.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

// As for images. @see https://kubernetes.io/docs/concepts/containers/images/#imagepullpolicy-defaulting
test.each<[string, PullPolicy]>([
  ['ghcr.io/acme/app:latest', 'Always'],
  ['ghcr.io/acme/app', 'Always'],
  ['ghcr.io/acme/app:v1', 'IfNotPresent'],
  ['ghcr.io/acme/app:latest-1', 'IfNotPresent'],
  [`ghcr.io/acme/app@${DIGEST}`, 'IfNotPresent'],
  [`ghcr.io/acme/app:latest@${DIGEST}`, 'IfNotPresent'],
])('%s is pulled %s where nothing else is said, and as it is said', (name, expected) => {
  const reference = parseReference(name)
  expect(effectivePullPolicy({ reference })).toBe(expected)
  for (const pullPolicy of ['Always', 'IfNotPresent', 'Never'] as const) {
    expect(effectivePullPolicy({ reference, pullPolicy })).toBe(pullPolicy)
  }
})
