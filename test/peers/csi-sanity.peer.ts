import { readFile } from 'node:fs/promises'
import { beforeAll, expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startProcess } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startFront } from './csi-sanity/front.ts'
import { buildGoProgram } from './go-program.ts'

const why = (await whyNoProgram('go')) ?? (await whyNoMounts())

let program: string
beforeAll(async () => {
  if (why === undefined) program = await buildGoProgram('csi-sanity')
})

test('csi-sanity passes every spec that applies to a node driver', async (context) => {
  skipUnless(context, why)
  await using registry = await startRegistry()
  await push(
    registry.url,
    'acme/hello:v1',
    artifact({ layers: [{ title: 'hello.txt', content: 'hello' }] }),
  )
  await using node = await startNode(registry)
  await using _driver = await node.startDriver()
  await using directory = await temporaryDirectory()
  const socket = directory.file('front.sock')
  await using _front = await startFront({
    socket,
    driverSocket: `${node.kubeletDir}/plugins/csi.oras.land/csi.sock`,
    volumeContext: {
      'oras.artifact.reference': `${registry.host}/acme/hello:v1`,
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': 'sanity',
      'csi.storage.k8s.io/pod.namespace': 'default',
      'csi.storage.k8s.io/pod.uid': 'uid-sanity',
      'csi.storage.k8s.io/serviceAccount.name': 'default',
    },
  })
  const report = directory.file('report.json')
  await using sanity = startProcess({
    command: program,
    args: [
      `--csi.endpoint=unix:${socket}`,
      `--csi.mountdir=${node.kubeletDir}/pods/sanity`,
      `--csi.stagingdir=${directory.file('staging')}`,
      `--ginkgo.json-report=${report}`,
      '--ginkgo.no-color',
    ],
  })
  const exit = await sanity.exited
  const specs = specsOf(await readFile(report, 'utf8'))

  // Pending are those that csi-sanity's authors have switched off.
  const failed = specs.filter(({ state }) => !['passed', 'skipped', 'pending'].includes(state))
  expect(failed).toEqual([])
  // A spec that csi-sanity skips says which optional service or capability is missing; nothing else may be skipped.
  const reasons = new Set(specs.flatMap(({ state, reason }) => (state === 'skipped' ? reason : [])))
  expect([...reasons].sort()).toEqual(NOT_APPLICABLE)
  expect(specs.filter(({ state }) => state === 'passed').length).toBe(PASSED)
  expect(exit).toEqual({ code: 0, signal: null })
})

/** The specs of v5.6.0 that apply. A newer version, or a capability more, changes it. */
const PASSED = 32

/** Why it skips the others: what a driver of inline volumes has no use for. */
const NOT_APPLICABLE: readonly string[] = [
  'Controller Publish, UnpublishVolume not supported',
  'ControllerExpandVolume not supported',
  'ControllerGetVolumeHealth not supported',
  'ControllerListVolumeHealth not supported',
  'ControllerModifyVolume not supported',
  'ControllerPublishVolume not supported',
  'ControllerUnpublishVolume not supported',
  'CreateSnapshot not supported',
  'DeleteSnapshot not supported',
  'GetCapacity not supported',
  'GetSnapshot not supported',
  'GroupControllerService not supported',
  'ListSnapshots not supported',
  'ListVolumes not supported',
  'Modify Volume not supported',
  'Modify volume not supported',
  'NodeExpandVolume not supported',
  'NodeGetStorageHealth not supported',
  'NodeGetVolumeHealth not supported',
  'NodeStageVolume not supported',
  'NodeUnstageVolume not supported',
  'Service does not have single node multi writer capability',
  'Snapshot not supported',
  'Volume Cloning not supported',
]

interface Spec {
  readonly name: string
  readonly state: string
  readonly reason: string
}

/** Reads ginkgo's JSON report. */
function specsOf(text: string): Spec[] {
  const suites: {
    readonly SpecReports: readonly {
      readonly ContainerHierarchyTexts: readonly string[] | null
      readonly LeafNodeText: string
      readonly LeafNodeType: string
      readonly State: string
      readonly Failure?: { readonly Message: string }
    }[]
  }[] = JSON.parse(text)
  return suites
    .flatMap((suite) => suite.SpecReports)
    .filter((spec) => spec.LeafNodeType === 'It')
    .map((spec) => ({
      name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' > '),
      state: spec.State,
      reason: spec.Failure?.Message ?? '',
    }))
}
