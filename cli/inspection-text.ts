import { findUnprintable } from '../common/composition/printable-text.ts'
import { formatBytes } from '../driver/pull/format-progress.ts'
import type { Inspection, PlacedLayer, SkippedLayer } from './inspection.ts'

/**
 * Writes an inspection for people:
 *
 *     reference  ghcr.io/acme/app:v1
 *     manifest   sha256:...
 *
 *     file       lib/app.jar  1.2 MiB  application/java-archive
 *     archive    site/        3.4 KiB  application/vnd.oci.image.layer.v1.tar+gzip
 *     skipped    README.md    812 B    text/markdown                                not selected by files
 *
 *     download   1.2 MiB in 2 blobs
 */
export function formatInspection(inspection: Inspection): string {
  const { placed, skipped, download } = inspection
  const layers = [...placed.map(placedRow), ...skipped.map(skippedRow)]
  return [
    ...head(inspection).map(([name, value]) => `${name.padEnd(NAME_WIDTH)}${value}`),
    '',
    ...table(layers),
    '',
    `${'download'.padEnd(NAME_WIDTH)}${formatBytes(download.bytes)} in ${download.blobs} ${download.blobs === 1 ? 'blob' : 'blobs'}`,
    '',
  ].join('\n')
}

const NAME_WIDTH = 'reference'.length + 2

type Row = readonly string[]

function head(inspection: Inspection): readonly (readonly [name: string, value: string])[] {
  const { reference, digest, platforms, platform, manifest, artifactType, flavour } = inspection
  const index = platforms === undefined ? [] : [['index', digest] as const]
  const available = platforms?.map((one) => (one === platform ? `${one} (chosen)` : one))
  return [
    ['reference', reference],
    ...index,
    ...(available === undefined ? [] : [['platforms', printable(available.join(', '))] as const]),
    ['manifest', manifest],
    ...(artifactType === undefined ? [] : [['type', printable(artifactType)] as const]),
    ...(flavour === 'image' ? [['layout', 'one root file system of all layers'] as const] : []),
  ]
}

function placedRow({ kind, path, size, mediaType, whole }: PlacedLayer): Row {
  const shown = kind === 'archive' ? `${printable(path)}/` : printable(path)
  return [kind, shown, formatBytes(size), mediaType, whole ? '' : 'files that are selected']
}

function skippedRow({ title, digest, size, mediaType, reason }: SkippedLayer): Row {
  return ['skipped', printable(title ?? digest), formatBytes(size), mediaType, reason]
}

function table(rows: readonly Row[]): readonly string[] {
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(NAME_WIDTH - 2, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** The attack: a title with escape sequences, which a terminal obeys. */
function printable(text: string): string {
  return findUnprintable(text) === undefined ? text : JSON.stringify(text).replace(UNSAFE, escaped)
}

// What JSON leaves as it is: C1 controls, bidi overrides, line separators.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`
}
