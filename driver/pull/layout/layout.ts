import type { Modes, Selection, Source } from '../../../common/composition/composition.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import type { ImageManifest } from '../../../common/oci/manifest.ts'
import { createLayerSelection, type SelectionField } from './layer-selection.ts'
import { distinctBlobs, repeatedSteps } from './layout-conflicts.ts'
import { isImageConfigType, isTarType } from './layout-media-types.ts'
import { nothingSelected, nothingToMount } from './layout-message.ts'
import {
  type Flavour,
  isEmptyLayer,
  type LayerStep,
  type StepOptions,
  stepOf,
  titleOf,
} from './layout-step.ts'

/** What decides a tree, besides the artifact itself. */
export interface LayoutOptions extends StepOptions {
  /** Absent: everything. */
  readonly select?: Selection
}

/** One layer's place in the tree. Steps are done in order: a later one's file replaces an earlier one's. */
export type PlanStep = LayerStep & {
  /** The file globs take everything that this step contributes; else a view picks what they take. */
  readonly whole: boolean
}

/** What goes where in a tree, decided before a byte of content is downloaded. */
export interface Plan {
  readonly flavour: Flavour
  readonly modes: Modes
  /** At least one. */
  readonly steps: readonly PlanStep[]
  /** The positions in the manifest of the layers that make the tree; `all` when no layer with content was left out. */
  readonly layers: 'all' | readonly number[]
  /** In the order of the manifest. */
  readonly skipped: readonly SkippedLayer[]
  /** What the steps need, each digest once, in order of first use. */
  readonly blobs: readonly Descriptor[]
  /** The sum of the sizes of {@link blobs}. */
  readonly bytes: number
}

/** A layer that contributes nothing. */
export interface SkippedLayer {
  readonly descriptor: Descriptor
  /** e.g. `empty layer`, `not selected by mediaTypes` */
  readonly reason: string
}

/** The options of the tree that a source needs. */
export function layoutOptionsOf({ unpack, modes, select }: Source): LayoutOptions {
  return { unpack: unpack ?? 'auto', modes: modes ?? 'readable', ...(select && { select }) }
}

/**
 * Answers whether a volume of this source alone shows something else than its whole tree: file globs that pick from archives, or a `path`.
 *
 * @param plan of the source's own options
 */
export function needsView(plan: Plan, { path }: Pick<Source, 'path'>): boolean {
  return path !== undefined || plan.steps.some(({ whole }) => !whole)
}

/** Of one manifest: more would be sources of a pod that differ in nothing but their selections. */
const MAX_REMEMBERED = 4

/** By manifest, which are as few as are in use or remembered; by a digest of the options, which may be long. */
const remembered = new WeakMap<ImageManifest, Map<string, () => Plan>>()

/**
 * Decides what becomes of each layer of a manifest, by the table of the design's page on volumes. Pure: the same manifest object and equal
 * options may be answered with the same plan, since one volume asks a few times, and a thousand layers with many globs take their time.
 *
 * `unpack: never` goes before everything else: then an image is its layers as files, and a directory pushed by `oras push` its archive.
 * What a selection leaves out is not looked at: neither a bad title nor a conflict of such a layer matters.
 *
 * @throws INVALID for a title that is no path inside a tree, for two layers at one place, and when nothing would be mounted
 */
export function layout(manifest: ImageManifest, options: LayoutOptions): Plan {
  const plans = remembered.get(manifest) ?? new Map<string, () => Plan>()
  remembered.set(manifest, plans)
  const key = digestOf(JSON.stringify([options.unpack, options.modes, options.select]))
  const known = plans.get(key)
  if (known !== undefined) return known()
  const answer = settled(() => makePlan(manifest, options))
  plans.set(key, answer)
  const oldest = plans.keys().next().value
  if (plans.size > MAX_REMEMBERED && oldest !== undefined) plans.delete(oldest)
  return answer()
}

/** Does it once, and gives or throws what came of it as often as it is asked: what cannot be laid out is no reason to try again. */
function settled(make: () => Plan): () => Plan {
  try {
    const plan = make()
    return () => plan
  } catch (error) {
    return () => {
      throw error
    }
  }
}

function makePlan(manifest: ImageManifest, options: LayoutOptions): Plan {
  const { select = {}, modes } = options
  const flavour = flavourOf(manifest, options)
  const selection = createLayerSelection(select)
  const placed = new Map<number, PlanStep>()
  const missed: Missed[] = []
  const reasons = new Map<number, string>()
  for (const [index, layer] of manifest.layers.entries()) {
    if (isEmptyLayer(layer)) {
      reasons.set(index, 'empty layer')
      continue
    }
    const field = selection.missedBy(layer)
    const step = field === undefined ? stepOf(layer, flavour, options.unpack) : undefined
    const reach = step === undefined ? 'none' : selection.reach(step)
    if (step !== undefined && reach !== 'none')
      placed.set(index, { ...step, whole: reach === 'all' })
    else {
      missed.push({ layer, field: field ?? 'files' })
      reasons.set(index, `not selected by ${field ?? 'files'}`)
    }
  }
  if (placed.size === 0) {
    throw missed.length === 0 ? nothingToMount(manifest) : allMissed(select, missed)
  }
  const repeated = repeatedSteps([...placed.values()])
  for (const [index, step] of placed) {
    if (repeated.has(step)) reasons.set(index, 'listed twice')
  }
  const steps = [...placed.values()].filter((step) => !repeated.has(step))
  const blobs = distinctBlobs(steps)
  return {
    flavour,
    modes,
    steps,
    layers: missed.length === 0 ? 'all' : [...placed.keys()],
    skipped: manifest.layers.flatMap((descriptor, index) => {
      const reason = reasons.get(index)
      return reason === undefined ? [] : [{ descriptor, reason }]
    }),
    blobs,
    bytes: blobs.reduce((sum, blob) => sum + blob.size, 0),
  }
}

interface Missed {
  readonly layer: Descriptor
  readonly field: SelectionField
}

const FIELDS: readonly SelectionField[] = ['mediaTypes', 'annotations', 'files']

/** Layers are lost to one field after the other: the last one that still had some says what it had. */
function allMissed(select: Selection, missed: readonly Missed[]) {
  const last = FIELDS.findLast((field) => missed.some((one) => one.field === field)) ?? 'files'
  const candidates = missed.filter(({ field }) => field === last).map(({ layer }) => layer)
  return nothingSelected(select, last, candidates, candidates.length === missed.length)
}

function flavourOf({ config, layers }: ImageManifest, { unpack }: StepOptions): Flavour {
  const isImage =
    unpack !== 'never' &&
    config !== undefined &&
    isImageConfigType(config.mediaType) &&
    layers.every((layer) => isTarType(layer.mediaType) && titleOf(layer) === undefined)
  return isImage ? 'image' : 'artifact'
}
