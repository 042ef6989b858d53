import { createHash } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { controllerMadePod, podReview } from '../support/admission-review.ts'
import { openApiServer } from '../support/api-server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { mountSecret, NAMES } from './serving-certificate.ts'

const TIMEOUT_MS = 60_000
const DIGEST = `sha256:${'a'.repeat(64)}`
const POLICY = `apiVersion: csi.oras.land/v1alpha1
kind: Policy
rules:
- name: shops
  namespaces: ["shop-*"]
  references: ["ghcr.io/acme/*"]
  effect: allow
  requireDigest: true
  writable: false
  maxBytes: 1
default: deny
`
const authority = await createCertificateAuthority()

function review(artifacts: string, namespace: string) {
  const pod = controllerMadePod({
    annotations: { 'oras.land/artifacts': artifacts },
    spec: { containers: [{ name: 'java' }] },
  })
  return podReview(pod, { namespace })
}

/** The arguments of a webhook whose certificate and policy stand in a directory of its own. */
async function arrange(policy: string) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const certificate = stack.use(await temporaryDirectory())
  await mountSecret(certificate.path, await authority.issue({ names: NAMES }))
  const path = directory.file('policy.yaml')
  await writeFile(path, policy)
  const args = [
    'webhook/main.ts',
    ...['--listen=127.0.0.1:0', '--health-listen=127.0.0.1:0', '--shutdown-grace=0s'],
    ...[`--certificate-directory=${certificate.path}`, `--policy-file=${path}`],
  ]
  const made = stack.move()
  return { path, args, [Symbol.asyncDispose]: () => made.disposeAsync() }
}

describe("an admin's policy", { timeout: TIMEOUT_MS }, () => {
  test('is held against pods over HTTPS, in the words of the driver', async () => {
    await using scene = await arrange(POLICY)
    await using process = startProcess({ args: scene.args })
    const { json } = await process.waitForLine(withMessage('serving'))
    const url = `https://127.0.0.1:${json?.['port']}`
    await using api = openApiServer({ url, ca: authority.cert })
    const asked = async (artifacts: string, namespace = 'shop-eu') =>
      (await api.mutate('/mutate', review(artifacts, namespace))).response
    const denied = (message: string) => ({
      ...{ allowed: false },
      status: { status: 'Failure', code: 403, reason: 'Forbidden', message },
    })

    expect(await asked(`/app: ghcr.io/acme/app@${DIGEST}`)).toMatchObject({ allowed: true })
    expect(await asked('/app: ghcr.io/acme/app:v1')).toMatchObject(
      denied(
        'Cannot use "ghcr.io/acme/app:v1" in namespace "shop-eu": rule "shops" of the admin\'s policy demands a digest; expected "ghcr.io/acme/app:v1@sha256:...", which "oras resolve ghcr.io/acme/app:v1" tells',
      ),
    )
    expect(await asked(`/app: ghcr.io/acme/app@${DIGEST}`, 'shopping')).toMatchObject(
      denied(
        `Cannot use "ghcr.io/acme/app@${DIGEST}" in namespace "shopping": no rule of the admin's policy allows it; nothing is allowed there`,
      ),
    )
    expect(
      await asked(`{"/a": "ghcr.io/acme/app@${DIGEST}", "/b": "ghcr.io/acme-evil/x@${DIGEST}"}`),
    ).toMatchObject(
      denied(
        `Cannot use "ghcr.io/acme-evil/x@${DIGEST}" in namespace "shop-eu": no rule of the admin's policy allows it; allowed there: "ghcr.io/acme/*"`,
      ),
    )
    expect(
      await asked(`/a: {reference: "ghcr.io/acme/app@${DIGEST}", readOnly: false}`),
    ).toMatchObject(
      denied(
        `Cannot use "ghcr.io/acme/app@${DIGEST}" in namespace "shop-eu": rule "shops" of the admin's policy allows no writable volumes; leave "readOnly: false" or "oras.options.writable" out`,
      ),
    )
    const metrics = await scrape(`http://127.0.0.1:${json?.['healthPort']}`)
    const sha256 = createHash('sha256').update(POLICY).digest('hex')
    expect(sampleOf(metrics, `oras_csi_policy_info{sha256="${sha256}"}`)).toBe(1)
    expect(sampleOf(metrics, 'oras_csi_policy_last_load_success')).toBe(1)
    expect(sampleOf(metrics, 'oras_csi_policy_denials_total{rule="shops"}')).toBe(2)
    expect(sampleOf(metrics, 'oras_csi_policy_denials_total{rule=""}')).toBe(2)

    const changed = process.waitForLine(withMessage('policy changed'), TIMEOUT_MS)
    await writeFile(`${scene.path}.new`, POLICY.replace('default: deny', 'default: allow'))
    await rename(`${scene.path}.new`, scene.path)
    await changed
    expect(await asked('/app: quay.io/acme/app:v1')).toMatchObject({ allowed: true })
  })

  test('that is wrong keeps the webhook from starting', async () => {
    await using scene = await arrange('kind: Policy\n')
    await using process = startProcess({ args: scene.args })
    const { json } = await process.waitForLine(withMessage('cannot run'), TIMEOUT_MS)
    expect(json?.['error']).toMatchObject({
      message: `Cannot use the policy file "${scene.path}": invalid policy (line 1, column 1): has no "apiVersion"; expected e.g. "apiVersion: csi.oras.land/v1alpha1"`,
    })
    expect(await process.exited).toStrictEqual({ code: 1, signal: null })
  })
})
