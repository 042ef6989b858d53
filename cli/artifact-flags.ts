import type { Source } from '../common/composition/composition.ts'
import { fileGlobProblem } from '../common/composition/file-glob.ts'
import { subPathProblem } from '../common/composition/file-path.ts'
import {
  annotationGlobProblem,
  globsProblem,
  mediaTypeGlobProblem,
  selectionOf,
} from '../common/composition/selection.ts'
import { CodedError, messageOf } from '../common/errors.ts'
import { type FlagValues, oneOf, optional } from '../common/flags.ts'
import type { Platform } from '../common/oci/descriptor.ts'
import { parsePlatform } from '../common/oci/platform.ts'
import { parseReference } from '../common/oci/reference.ts'

/** What is wanted of an artifact: the fields of an annotation's entry, as flags. */
export const ARTIFACT_FLAGS = {
  select: {
    value: 'GLOB',
    doc: "files by their path, gitignore style: '*.jar', 'lib/', '!*-sources.jar'",
    repeatable: true,
    parse: checked(fileGlobProblem),
  },
  'media-type': {
    value: 'TYPE',
    doc: "layers of this media type, e.g. text/plain or 'text/*'",
    repeatable: true,
    parse: checked(mediaTypeGlobProblem),
  },
  annotation: {
    value: 'KEY=GLOB',
    doc: "layers with such an annotation, e.g. 'com.acme.kind=plugin-*'",
    repeatable: true,
    parse: parseAnnotation,
  },
  platform: {
    value: 'OS/ARCH',
    doc: 'which manifest of an index; default that of this machine',
    default: '',
    parse: optional(parsePlatformFlag),
  },
  unpack: {
    value: 'WHICH',
    doc: 'archives: auto, always or never',
    default: '',
    parse: optional(oneOf(['auto', 'always', 'never'])),
  },
  modes: {
    value: 'WHICH',
    doc: 'permission bits of unpacked files: readable or keep',
    default: '',
    parse: optional(oneOf(['readable', 'keep'])),
  },
  path: {
    value: 'DIRECTORY',
    doc: 'the directory inside the volume, e.g. lib',
    default: '',
    parse: optional(parseVolumePath),
  },
} as const

/**
 * Puts together what a command line asks for.
 *
 * @throws INVALID for a reference without tag and digest, and too many globs
 */
export function sourceOfFlags(name: string, values: FlagValues<typeof ARTIFACT_FLAGS>): Source {
  const reference = parseReference(name)
  if (reference.tag === undefined && reference.digest === undefined) {
    throw new CodedError(
      'INVALID',
      `Invalid reference "${name}": expected a tag or digest, e.g. "${name}:latest"`,
    )
  }
  const { platform, unpack, modes, path } = values
  const select = selectionOf({
    mediaTypes: listOf('media-type', values['media-type']),
    annotations: groupOf(listOf('annotation', values.annotation)),
    files: listOf('select', values.select),
  })
  return {
    reference,
    ...(select && { select }),
    ...(platform && { platform }),
    ...(unpack && { unpack }),
    ...(modes && { modes }),
    ...(path !== undefined && { path }),
  }
}

/** Without the words that the flag's own error begins with. */
function parsePlatformFlag(text: string): Platform {
  try {
    return parsePlatform(text)
  } catch (cause) {
    throw new CodedError('INVALID', messageOf(cause).replace(/^Invalid platform ".*": /, ''), {
      cause,
    })
  }
}

interface AnnotationGlob {
  readonly key: string
  readonly glob: string
}

function parseAnnotation(text: string): AnnotationGlob {
  const at = text.indexOf('=')
  if (at < 0) throw new CodedError('INVALID', 'expected KEY=GLOB, e.g. "com.acme.kind=plugin-*"')
  const [key, glob] = [text.slice(0, at), text.slice(at + 1)]
  const problem = annotationGlobProblem(key, glob)
  if (problem !== undefined) throw new CodedError('INVALID', problem)
  return { key, glob }
}

/** Undefined for a flag that is not given. */
function listOf<T>(flag: string, list: readonly T[]): readonly T[] | undefined {
  if (list.length === 0) return undefined
  const problem = globsProblem(list, () => undefined)
  if (problem === undefined) return list
  throw new CodedError('INVALID', `Invalid --${flag}: ${problem}`)
}

function groupOf(pairs: readonly AnnotationGlob[] | undefined) {
  if (pairs === undefined) return undefined
  const groups = Map.groupBy(pairs, ({ key }) => key)
  return Object.fromEntries([...groups].map(([key, list]) => [key, list.map(({ glob }) => glob)]))
}

function parseVolumePath(path: string): string | undefined {
  return path === '/' ? undefined : checked(subPathProblem)(path)
}

function checked(problemOf: (text: string) => string | undefined): (text: string) => string {
  return (text) => {
    const problem = problemOf(text)
    if (problem !== undefined) throw new CodedError('INVALID', problem)
    return text
  }
}
