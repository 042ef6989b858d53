import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { readMounts } from '../../support/mounts.ts'
import { NODE_PATHS } from '../places.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { podObject, podReady, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

test('writing fails inside the container, and the mount is read-only, nosuid and nodev on the host', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  load(registry, 'acme/sealed:v1', artifact({ layers: [{ title: 'seal.txt', content: 'sealed' }] }))
  await using scenario = await openScenario('sealed')
  const { kubectl } = scenario
  await kubectl.apply([
    podObject('sealed', {
      annotations: { 'oras.land/artifacts': '/seal: ghcr.io/acme/sealed:v1' },
    }),
  ])
  await podReady(kubectl, 'sealed')

  const attempts = [
    'echo x > /seal/new.txt',
    'echo x > /seal/seal.txt',
    'rm /seal/seal.txt',
    'chmod 777 /seal/seal.txt',
    'mount -o remount,rw,bind /seal',
  ]
  for (const attempt of attempts) {
    const said = await shellIn(kubectl, 'sealed', `(${attempt}) 2>&1 || true`)
    expect([attempt, said]).toEqual([
      attempt,
      expect.stringMatching(/Read-only file system|permission denied|Permission denied/),
    ])
  }
  expect(await shellIn(kubectl, 'sealed', 'cat /seal/seal.txt')).toBe('sealed')

  const pod = await kubectl.get('pod', 'sealed')
  const target = `${NODE_PATHS.kubelet}/pods/${pod.metadata.uid}/volumes/kubernetes.io~csi/oras-seal/mount`
  const mounts = (await readMounts()).filter(({ mountPoint }) => mountPoint === target)
  expect(mounts.map(({ options }) => options.slice(0, 3))).toEqual([['ro', 'nosuid', 'nodev']])

  // Inside, the mount is the container runtime's own: read-only because the pod says so, and nosuid only where the runtime makes it so.
  const inside = await shellIn(kubectl, 'sealed', 'cat /proc/self/mountinfo')
  const line = inside.split('\n').find((text) => text.split(' ')[4] === '/seal')
  expect(line?.split(' ')[5]?.split(',')).toContain('ro')
})
