import { readdir, readFile, stat } from 'node:fs/promises'
import { expect } from 'vitest'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../../../common/oci/digest.ts'
import { parseIngestRecord } from '../../../driver/pull/download/ingest-record.ts'
import { ingestPath, ingestRecordPath } from '../../../driver/store/ingest-files.ts'
import { exists } from '../../support/cache-directory.ts'
import type { TestNode } from '../../support/driver.ts'
import { mountsAt, readMounts } from '../../support/mounts.ts'
import { type CrashScenario, listingOf } from './crash-scenario.ts'

/** Whatever a store shows is complete: trees, views and blobs; and so is what the volume shows, if it shows anything. */
export async function expectNothingHalf(
  node: TestNode,
  scenario: CrashScenario,
  target: string,
): Promise<void> {
  for (const kind of ['trees', 'views']) {
    for (const key of await readdir(`${node.storeDirectory}/${kind}`)) {
      const directory = `${node.storeDirectory}/${kind}/${key}`
      expect(scenario.complete).toContainEqual(listingOf(`${directory}/root`))
      expect(JSON.parse(await readFile(`${directory}/meta.json`, 'utf8'))).toHaveProperty('bootId')
    }
  }
  for (const { digest } of scenario.blobs) {
    if (!(await isBlobThere(node, digest))) continue
    expect(digestOf(await readFile(blobPath(node, digest)))).toBe(digest)
  }
  if ((await mountsAt(target)).length > 0) expect(listingOf(target)).toEqual(scenario.view)
  else if (await exists(target)) expect(await readdir(target)).toEqual([])
}

/** How many bytes of each blob, by digest, the next driver need not download again. */
export async function bytesKept(
  node: TestNode,
  { registry, blobs }: CrashScenario,
): Promise<ReadonlyMap<string, number>> {
  const kept = new Map<string, number>()
  for (const { digest, size, repository } of blobs) {
    const origin = `${registry.host}/${repository}`
    const path = ingestPath(`${node.storeDirectory}/ingest`, digest, origin)
    kept.set(digest, (await isBlobThere(node, digest)) ? size : await bytesIn(path, size))
  }
  return kept
}

async function bytesIn(ingest: string, size: number): Promise<number> {
  if (!(await exists(ingest))) return 0
  if (!(await exists(ingestRecordPath(ingest)))) return (await stat(ingest)).size
  const parts = parseIngestRecord(await readFile(ingestRecordPath(ingest)), size) ?? []
  return parts.reduce((sum, { start, end }) => sum + end - start, 0)
}

/** Leases and mountinfo tell the same: what a lease calls mounted is, and what is mounted has a lease. */
export async function expectLeasesAsMounted(node: TestNode): Promise<void> {
  const leases = await leasesOf(node)
  const pods = `${node.kubeletDir}/pods/`
  const mounted = (await readMounts())
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint.startsWith(pods))
  const targets = leases.map(({ target }) => target)
  expect(targets).toEqual(expect.arrayContaining(mounted))
  const complete = leases.flatMap(({ target, mounted: isMounted }) => (isMounted ? [target] : []))
  expect(mounted).toEqual(expect.arrayContaining(complete))
}

/** Every lease, also of which the driver that wrote it was killed. */
export async function leasesOf(
  node: TestNode,
): Promise<readonly { readonly target: string; readonly mounted: boolean }[]> {
  const directory = `${node.storeDirectory}/volumes`
  const names = await readdir(directory)
  return Promise.all(
    names.map(async (name) => JSON.parse(await readFile(`${directory}/${name}`, 'utf8'))),
  )
}

async function isBlobThere(node: TestNode, digest: Digest): Promise<boolean> {
  const path = blobPath(node, digest)
  return (await exists(path)) && (await exists(`${path}.json`))
}

function blobPath(node: TestNode, digest: Digest): string {
  const hex = digestHex(digest)
  return `${node.storeDirectory}/blobs/${digestAlgorithm(digest)}/${hex.slice(0, 2)}/${hex}`
}
