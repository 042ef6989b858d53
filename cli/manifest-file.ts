import { readdir, readFile, stat } from 'node:fs/promises'
import { join, normalize, relative } from 'node:path'
import { CodedError, isSystemError } from '../common/errors.ts'
import type { JsonObject } from '../webhook/json.ts'
import { parseManifest, refuseFaults } from './manifest.ts'

/** A text, and what messages call it. */
export interface ManifestText {
  /** The path as it was given, without a `./`, or beneath the directory that was; `stdin` for standard input. */
  readonly name: string
  readonly text: string
}

/** Objects of a file. */
export interface ManifestFile {
  readonly name: string
  readonly objects: readonly JsonObject[]
}

/**
 * Reads YAML or JSON documents as kubectl does; empty ones are left out.
 *
 * @param path `-` for standard input
 * @throws NOT_FOUND, INVALID with the file's name and the line
 */
export async function readManifestFile(
  path: string,
  readStdin: () => Promise<string>,
): Promise<ManifestFile> {
  const { name, text } =
    path === '-' ? { name: 'stdin', text: await readStdin() } : await readOne(path)
  const manifest = parseManifest(name, text)
  refuseFaults(manifest)
  const objects = manifest.documents.map(({ object }) => object)
  return { name, objects: objects.filter((object) => object !== undefined) }
}

/**
 * Reads the texts that a path stands for: a file, `-` for standard input, or a directory: every `*.yaml`, `*.yml` and `*.json` beneath it, by
 * name, without what begins with a dot. In a directory, files that do not speak of `about` are left out: what else lies there may be no manifest.
 *
 * @throws NOT_FOUND, INVALID naming the path
 */
export async function readManifestTexts(
  path: string,
  { readStdin, about }: { readonly readStdin: () => Promise<string>; readonly about: string },
): Promise<readonly ManifestText[]> {
  if (path === '-') return [{ name: 'stdin', text: await readStdin() }]
  if (!(await isDirectory(path))) return [await readOne(path)]
  const entries = await readdir(path, { withFileTypes: true, recursive: true })
  const names = entries
    .filter((entry) => !entry.isDirectory() && /\.(?:ya?ml|json)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((name) => !/(?:^|\/)\./.test(relative(path, name)))
  const texts: ManifestText[] = []
  for (const name of names.sort()) texts.push(await readOne(name))
  return texts.filter(({ text }) => text.includes(about))
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  return found.isDirectory()
}

async function readOne(path: string): Promise<ManifestText> {
  try {
    // GitHub finds no file by "./web.yaml".
    return { name: normalize(path), text: await readFile(path, 'utf8') }
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

function unreadable(path: string, cause: unknown): CodedError {
  const code = isSystemError(cause, 'ENOENT') ? 'NOT_FOUND' : 'INVALID'
  const why = isSystemError(cause) ? cause.code : 'unreadable'
  return new CodedError(code, `Cannot read "${path}": ${why}`, { cause })
}
