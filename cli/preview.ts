import { ANNOTATION_PREFIX } from '../common/composition/composition.ts'
import { CodedError, isCodedError } from '../common/errors.ts'
import { bool, text } from '../common/flags.ts'
import { type JsonObject, objectAt } from '../webhook/json.ts'
import { mutate } from '../webhook/mutate.ts'
import { createCommand, type Io } from './command.ts'
import { formatManifest, readManifestFile } from './manifest-file.ts'
import { unifiedDiff } from './unified-diff.ts'
import { readWorkload, type Workload } from './workload.ts'

const FLAGS = {
  file: { value: 'FILE', short: 'f', doc: 'YAML or JSON; "-" reads standard input', parse: text },
  diff: { doc: 'show what changes, as a unified diff', parse: bool },
} as const

/**
 * Shows pods and workloads as the webhook would make them, by the webhook's own code. It does not ask a cluster, so
 * it sees neither the imagePullSecrets of a service account nor what other webhooks add.
 *
 * Exit code 1 when something would be denied; what would not is shown all the same.
 */
export const preview = createCommand({
  summary: 'show a pod or workload as the webhook would make it',
  usage: 'oras-csi preview -f FILE [--diff]',
  flags: FLAGS,
  async run({ file, diff }, _, io) {
    const { name, objects } = await readManifestFile(file, io.readStdin)
    if (!objects.some((object) => readWorkload(object) !== undefined)) {
      throw new CodedError(
        'INVALID',
        `${name}: found no pod and no workload; expected a Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob`,
      )
    }
    const shown = objects.map((object) => showObject(object, { file: name, diff, io }))
    const parts = shown.filter((part) => part !== undefined && part !== '')
    io.stdout(parts.join(diff ? '' : '---\n'))
    return shown.includes(undefined) ? 1 : 0
  },
})

interface Options {
  readonly file: string
  readonly diff: boolean
  readonly io: Io
}

/** @returns undefined when it would be denied */
function showObject(object: JsonObject, options: Options): string | undefined {
  const workload = readWorkload(object)
  const composed = workload === undefined ? object : composeWorkload(workload, object, options)
  if (composed === undefined || !options.diff) return composed && formatManifest(composed)
  return unifiedDiff(formatManifest(object), formatManifest(composed), {
    name: workload?.name ?? '',
    colour: options.io.isTerminal && !options.io.env['NO_COLOR'],
  })
}

function composeWorkload(
  workload: Workload,
  object: JsonObject,
  { file, io }: Options,
): JsonObject | undefined {
  const about = `${file}: ${workload.name}`
  try {
    const { pod, warnings } = mutate(workload.template)
    for (const warning of [...misplaced(workload, object), ...warnings]) {
      io.stderr(`${about}: warning: ${warning}\n`)
    }
    return workload.with(pod)
  } catch (error) {
    if (!isCodedError(error, 'INVALID', 'CONFLICT')) throw error
    io.stderr(`${about}: denied: ${error.message}\n`)
    return undefined
  }
}

function misplaced(workload: Workload, object: JsonObject): readonly string[] {
  if (workload.template === object) return []
  const annotations = objectAt(objectAt(object, 'metadata'), 'annotations') ?? {}
  return Object.keys(annotations)
    .filter((key) => key.startsWith(ANNOTATION_PREFIX))
    .map((key) => `${key} has no effect here: move it to the metadata of the pod template`)
}
