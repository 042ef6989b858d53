import { cp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { runToEnd } from '../support/command.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

// What the published chart then makes, test/peers/release.peer.ts shows by the real Helm.

const DIGEST = `sha256:${'a'.repeat(64)}`

async function pin(...args: readonly string[]): Promise<string> {
  const script = join(CHECKOUT, 'release/pin-chart.ts')
  const { stdout, stderr } = await runToEnd(process.execPath, [script, ...args], { accept: [0, 1] })
  return stdout + (/Error: (.*)/.exec(stderr)?.[1] ?? '')
}

test('the chart of a release names its image by digest, and keeps what else it says', async () => {
  await using directory = await temporaryDirectory()
  await cp(join(CHECKOUT, 'chart'), directory.path, { recursive: true })
  expect(await pin(directory.path, `registry.example.com/acme/csi:1.2.3@${DIGEST}`)).toBe('')
  for (const [file, added] of [
    ['Chart.yaml', [`  csi.oras.land/image-digest: ${DIGEST}`]],
    ['values.yaml', ['  repository: registry.example.com/acme/csi']],
  ] as const) {
    const before = (await readFile(join(CHECKOUT, 'chart', file), 'utf8')).split('\n')
    const after = (await readFile(directory.file(file), 'utf8')).split('\n')
    expect(after.filter((line) => !before.includes(line))).toEqual(added)
  }
  const { annotations, version } = parse(await readFile(directory.file('Chart.yaml'), 'utf8'))
  expect(annotations['csi.oras.land/image-digest']).toBe(DIGEST)
  const { version: own } = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8'))
  expect(version).toBe(own)
})

test.each([
  { args: ['chart'], says: 'Usage: node release/pin-chart.ts CHART IMAGE' },
  { args: ['chart', 'a', 'b'], says: 'Usage: node release/pin-chart.ts CHART IMAGE' },
  {
    args: ['chart', 'ghcr.io/acme/csi:1.2.3'],
    says: 'Image "ghcr.io/acme/csi:1.2.3" has no digest',
  },
  {
    args: ['chart', `ghcr.io/acme/csi@${DIGEST.slice(0, -1)}`],
    says: expect.stringContaining('is not a digest'),
  },
])('is not made of $args', async ({ args, says }) => {
  expect(await pin(...args)).toEqual(says)
})
