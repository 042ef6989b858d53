import { ARCHIVE_TARGETS } from './archive-targets.ts'
import { DOCUMENT_TARGETS } from './document-targets.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import { treeTarget } from './tree-target.ts'

/** Everything that reads what strangers write. */
export const TARGETS: readonly FuzzTarget[] = [
  ...ARCHIVE_TARGETS,
  treeTarget('artifact'),
  treeTarget('image'),
  ...DOCUMENT_TARGETS,
]
