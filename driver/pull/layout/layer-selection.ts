import type { Selection } from '../../../common/composition/composition.ts'
import { createFileFilter, type Reach } from '../../../common/composition/file-filter.ts'
import { matchesStarGlob } from '../../../common/composition/star-glob.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { declaredPath, type LayerStep } from './layout-step.ts'

/** A part of a selection. */
export type SelectionField = keyof Selection

/** A selection, ready to be applied to the layers of a manifest. */
export interface LayerSelection {
  /** The first field that a layer does not pass by what its descriptor says; undefined when it passes. */
  missedBy(layer: Descriptor): Exclude<SelectionField, 'files'> | undefined
  /** How much of what a step contributes may be wanted. */
  reach(step: LayerStep): Reach
}

/** @param select undefined for everything */
export function createLayerSelection(select: Selection = {}): LayerSelection {
  const { mediaTypes, annotations = {}, files } = select
  const types = mediaTypes?.map((glob) => glob.toLowerCase())
  const wanted = Object.entries(annotations)
  const filter = createFileFilter(files)
  return {
    missedBy(layer) {
      const type = layer.mediaType.toLowerCase()
      if (types !== undefined && !types.some((glob) => matchesStarGlob(glob, type))) {
        return 'mediaTypes'
      }
      const matches = wanted.every(([key, globs]) => {
        const value = layer.annotations[key]
        return value !== undefined && globs.some((glob) => matchesStarGlob(glob, value))
      })
      return matches ? undefined : 'annotations'
    },
    reach(step) {
      if (step.kind === 'link') return filter.selects(step.path, 'file') ? 'all' : 'none'
      const reach = filter.reach(step.path)
      const declared = declaredPath(step)
      if (reach !== 'some' || declared === undefined) return reach
      // What the archive says it holds spares a download; that it holds nothing else is not checked.
      return filter.selects(declared, 'file') || filter.reach(declared) !== 'none' ? 'some' : 'none'
    },
  }
}
