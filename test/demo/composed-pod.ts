/** What the kubelet reads of a pod that the webhook has composed. */
export interface ComposedPod {
  readonly volume: {
    readonly name: string
    readonly csi: {
      readonly readOnly: boolean
      readonly volumeAttributes: Readonly<Record<string, string>>
    }
  }
}

interface Pod {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> }
  readonly spec: { readonly volumes?: readonly (ComposedPod['volume'] & { csi?: object })[] }
}

/** @throws when the pod has no CSI volume */
export function composedPod(pod: unknown): ComposedPod {
  const volume = (pod as Pod).spec.volumes?.find(({ csi }) => csi !== undefined)
  if (volume === undefined) throw new Error('The webhook added no volume')
  return { volume }
}

/** The annotations and the spec, as a reader wants to see them. */
export function podParts(pod: unknown): { annotations: object; spec: object } {
  const { metadata, spec } = pod as Pod
  return { annotations: metadata.annotations, spec }
}
