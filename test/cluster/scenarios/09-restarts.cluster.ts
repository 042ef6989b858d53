import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { readMounts } from '../../support/mounts.ts'
import { poll } from '../../support/poll.ts'
import type { Places } from '../places.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { type RestartedPart, restartPart } from '../support/node-state.ts'
import { podObject, podReady, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

const PARTS: readonly RestartedPart[] = ['driver', 'kubelet', 'containerd']

test.for(PARTS)(
  'the %s restarts while pods run: their files stay readable, new pods start, old ones end cleanly',
  async (part) => {
    await using registry = await startNodeRegistry('ghcr.io')
    for (const name of ['old', 'new']) {
      const layer = { title: 'name.txt', content: `${name} ${part}` }
      load(registry, `acme/${part}-${name}:v1`, artifact({ layers: [layer] }))
    }
    await using scenario = await openScenario(`restart-${part}`)
    const { kubectl, places } = scenario
    const start = async (name: 'old' | 'new') => {
      const annotations = { 'oras.land/artifacts': `/data: ghcr.io/acme/${part}-${name}:v1` }
      await kubectl.apply([podObject(name, { annotations })])
      await podReady(kubectl, name)
    }
    await start('old')
    const old = await kubectl.get('pod', 'old')
    const before = await publishedBy(places, old.metadata.uid)
    await restartPart(places, part)
    if (part === 'kubelet') {
      await poll(async () => (await publishedBy(places, old.metadata.uid)) > before, {
        deadlineMs: 60_000,
        what: 'the kubelet to publish again',
      })
    }

    // A kubelet that has just started does not know its pods yet, and lets nobody in.
    const content = await poll(() => shellIn(kubectl, 'old', 'cat /data/name.txt'), {
      deadlineMs: 60_000,
      what: 'the kubelet to let us into the pod',
    })
    expect(content).toBe(`old ${part}`)
    await start('new')
    expect(await shellIn(kubectl, 'new', 'cat /data/name.txt')).toBe(`new ${part}`)
    // The same container, not one that was started again.
    const later = await kubectl.get('pod', 'old')
    expect(later.status.containerStatuses[0].restartCount).toBe(0)
    expect(later.status.containerStatuses[0].containerID).toBe(
      old.status.containerStatuses[0].containerID,
    )
    const ofOld = async () =>
      (await readMounts()).filter(({ mountPoint }) =>
        mountPoint.includes(`${old.metadata.uid}/volumes/kubernetes.io~csi`),
      )
    // A kubelet that restarts publishes again: that must not mount twice.
    expect((await ofOld()).length).toBe(1)
    await kubectl.runFor(65_000, 'delete', 'pod', 'old', '--timeout=60s')
    expect(await ofOld()).toEqual([])
  },
)

/** How often the kubelet says in its log that it has published the volume of a pod. */
async function publishedBy(places: Places, uid: string): Promise<number> {
  const log = await readFile(join(places.log, 'kubelet.log'), 'utf8')
  const succeeded = 'MountVolume.SetUp succeeded for volume \\"oras-data\\"'
  return log.split('\n').filter((line) => line.includes(succeeded) && line.includes(uid)).length
}
