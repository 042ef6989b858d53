import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type KubeletPod, type PublishRequest, publishRequest } from '../support/kubelet.ts'
import { type ArtifactVersion, OTHER_PLATFORM, type SoakArtifact, TAG } from './artifacts.ts'
import { type ExpectedTree, FILE_CHOICES, merged, placed, treeText } from './expected-tree.ts'
import type { SourcePlan, VolumePlan } from './steps.ts'

/**
 * What is known of a pod's volume: it is shown; it may be or not, since a call was not answered or time was up; or the kubelet has gone without a word, so
 * that the driver has to end it.
 */
export type PodState = 'published' | 'unsure' | 'abandoned'

/** One pod with one volume. */
export interface SoakPod {
  readonly slot: number
  readonly uid: string
  readonly request: PublishRequest
  readonly sources: readonly WantedSource[]
  readonly isWritable: boolean
  state: PodState
  /** What mountinfo said of it first, of an overlay its upper directory: it must stay so. */
  root: string | undefined
  /** What it may show, for so many versions. */
  accepted?: { readonly count: number; readonly texts: ReadonlySet<string> }
}

interface WantedSource {
  readonly plan: SourcePlan
  readonly artifact: SoakArtifact
  /** Those that it may show: what the tag was whenever the pod was asked for. */
  readonly versions: Set<number>
}

/** Where each tag points, and where it has. */
export interface Tags {
  current(artifact: number): number
  history(artifact: number): Iterable<number>
  move(artifact: number, version: number): void
}

/** Every tag begins with the first version. */
export function createTags(artifacts: readonly SoakArtifact[]): Tags {
  const histories = artifacts.map(() => [0])
  return {
    current: (artifact) => histories[artifact]?.at(-1) ?? 0,
    history: (artifact) => histories[artifact] ?? [],
    move: (artifact, version) => void histories[artifact]?.push(version),
  }
}

/** Makes the pod that a plan says, with its directories. Nobody is asked to publish it yet. */
export async function makePod(
  { slot, sources, isWritable = false }: VolumePlan,
  options: {
    readonly generation: number
    readonly host: string
    readonly kubeletDir: string
    readonly artifacts: readonly SoakArtifact[]
  },
): Promise<SoakPod> {
  const { generation, host, kubeletDir, artifacts } = options
  const wanted = sources.map((plan): WantedSource => {
    const artifact = artifacts[plan.artifact]
    if (artifact === undefined) throw new Error(`No artifact ${plan.artifact}`)
    return { plan, artifact, versions: new Set(plan.by === 'digest' ? [plan.version] : []) }
  })
  const name = `pod-${slot}-${generation}`
  const uid = `uid-${name}`
  const request = await publishRequest({
    kubeletDir,
    pod: podOf(name, uid),
    volumeName: 'app',
    attributes: {
      ...attributesOf(wanted, host),
      ...(isWritable && { 'oras.options.writable': 'true' }),
    },
    readOnly: !isWritable,
  })
  return { slot, uid, request, sources: wanted, isWritable, state: 'unsure', root: undefined }
}

function podOf(name: string, uid: string): KubeletPod {
  return { name, namespace: 'default', uid }
}

/** Makes the directories of a pod again that was removed. */
export async function makePodDirectories(
  kubeletDir: string,
  { uid, request }: SoakPod,
): Promise<void> {
  await mkdir(dirname(request.target_path), { recursive: true, mode: 0o750 })
  await mkdir(`${kubeletDir}/pods/${uid}/plugins`, { recursive: true, mode: 0o750 })
}

/** The kubelet's end of a pod whose volumes are unmounted. */
export async function removePod(kubeletDir: string, { uid }: SoakPod): Promise<void> {
  await rm(`${kubeletDir}/pods/${uid}`, { recursive: true })
}

/**
 * Notes what the tags are, before a pod is asked for and when the answer is there. While the registry does not work, the driver may go by
 * what a tag was when it was asked last.
 */
export function noteTags({ sources }: SoakPod, tags: Tags, isDisturbed: boolean): void {
  for (const { plan, versions } of sources) {
    if (plan.by === 'digest') continue
    const isCached = plan.by === 'cached-tag' || isDisturbed
    const { artifact } = plan
    for (const one of isCached ? tags.history(artifact) : [tags.current(artifact)])
      versions.add(one)
  }
}

/** The texts of all trees that a volume may show. They are asked for after each step: the same versions give the same set. */
export function acceptedTexts(pod: SoakPod): ReadonlySet<string> {
  const count = pod.sources.reduce((sum, { versions }) => sum + versions.size, 0)
  if (pod.accepted?.count !== count) pod.accepted = { count, texts: textsOf(pod) }
  return pod.accepted.texts
}

function textsOf({ sources }: SoakPod): ReadonlySet<string> {
  let combinations: (readonly ExpectedTree[])[] = [[]]
  for (const { plan, artifact, versions } of sources) {
    const trees = [...versions].map((at) => {
      const version = versionAt(artifact, at)
      const tree = plan.isOtherPlatform === true ? version.otherTree : version.tree
      if (tree === undefined) throw new Error(`${artifact.repository} has no other platform`)
      return placed(tree, plan)
    })
    combinations = combinations.flatMap((before) => trees.map((tree) => [...before, tree]))
  }
  return new Set(combinations.map((trees) => treeText(merged(trees))))
}

/** The versions that a pod may use, as `repository version`, with the most that the store needs for each. */
export function usedBy({ sources }: SoakPod): readonly (readonly [name: string, bytes: number])[] {
  return sources.flatMap(({ artifact, versions }) =>
    [...versions].map(
      (at) => [`${artifact.repository} ${at}`, versionAt(artifact, at).bytes] as const,
    ),
  )
}

export function versionAt({ repository, versions }: SoakArtifact, at: number): ArtifactVersion {
  const version = versions[at]
  if (version === undefined) throw new Error(`${repository} has no version ${at}`)
  return version
}

const PULL_POLICY = { tag: 'Always', 'cached-tag': 'IfNotPresent', digest: undefined } as const

function attributesOf(
  sources: readonly WantedSource[],
  host: string,
): Readonly<Record<string, string>> {
  const platform = `${OTHER_PLATFORM.os}/${OTHER_PLATFORM.architecture}`
  const fields = sources.map(({ plan, artifact }) => {
    const { digest } = versionAt(artifact, plan.version).built
    const name = `${host}/${artifact.repository}`
    return {
      reference: plan.by === 'digest' ? `${name}@${digest}` : `${name}:${TAG}`,
      pullPolicy: PULL_POLICY[plan.by],
      path: plan.path,
      files: plan.files === undefined ? undefined : FILE_CHOICES[plan.files].globs,
      platform: plan.isOtherPlatform === true ? platform : undefined,
    }
  })
  const [first] = fields
  if (fields.length > 1 || first === undefined) {
    const list = fields.map(({ files, ...rest }) => ({
      ...rest,
      ...(files !== undefined && { select: { files } }),
    }))
    return { 'oras.sources': JSON.stringify(list) }
  }
  const { reference, pullPolicy, path, files } = first
  return {
    'oras.artifact.reference': reference,
    ...(pullPolicy !== undefined && { 'oras.options.pullpolicy': pullPolicy }),
    ...(path !== undefined && { 'oras.artifact.path': path }),
    ...(files !== undefined && { 'oras.artifact.files': JSON.stringify(files) }),
    ...(first.platform !== undefined && { 'oras.artifact.platform': platform }),
  }
}
