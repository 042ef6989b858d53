import { readFile } from 'node:fs/promises'
import { LineCounter, parseAllDocuments, stringify, type Tags } from 'yaml'
import { CodedError, isSystemError } from '../common/errors.ts'
import { isJsonObject, type JsonObject } from '../webhook/json.ts'

/** A file of Kubernetes objects. */
export interface ManifestFile {
  /** For messages: the path as it was given, or `stdin`. */
  readonly name: string
  readonly objects: readonly JsonObject[]
}

/**
 * Reads YAML or JSON documents as kubectl does (YAML 1.1: `defaultMode: 0644` is octal, `yes` is true); empty ones
 * are left out.
 *
 * @param path `-` for standard input
 * @throws NOT_FOUND, INVALID with the file's name and the line
 */
export async function readManifestFile(
  path: string,
  readStdin: () => Promise<string>,
): Promise<ManifestFile> {
  if (path === '-') return { name: 'stdin', objects: parseObjects('stdin', await readStdin()) }
  return { name: path, objects: parseObjects(path, await readText(path)) }
}

/** Writes an object so that readers of YAML 1.1 and of 1.2 see the same in it. */
export function formatManifest(object: JsonObject): string {
  return stringify(object, { lineWidth: 0, compat: 'yaml-1.1', aliasDuplicateObjects: false })
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const code = isSystemError(cause, 'ENOENT') ? 'NOT_FOUND' : 'INVALID'
    const why = isSystemError(cause) ? cause.code : 'unreadable'
    throw new CodedError(code, `Cannot read "${path}": ${why}`, { cause })
  }
}

function parseObjects(name: string, text: string): readonly JsonObject[] {
  const lineCounter = new LineCounter()
  const documents = parseAllDocuments(text, {
    version: '1.1',
    merge: true,
    customTags: withoutTimes,
    prettyErrors: false,
    lineCounter,
  })
  return [...documents].flatMap((document) => {
    const [error] = document.errors
    if (error !== undefined) {
      const { line, col } = lineCounter.linePos(error.pos[0])
      throw new CodedError('INVALID', `${name}:${line}:${col}: ${error.message}`)
    }
    const value: unknown = document.toJS()
    if (value === null) return []
    if (isJsonObject(value)) return [value]
    throw new CodedError('INVALID', `${name}: found a document that is not an object`)
  })
}

/** To kubectl a date or "12:30" is text. */
function withoutTimes(tags: Tags): Tags {
  return tags.filter(
    (tag) =>
      typeof tag === 'string' ||
      (tag.tag !== 'tag:yaml.org,2002:timestamp' && tag.format !== 'TIME'),
  )
}
