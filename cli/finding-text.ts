import type { Position } from '../common/composition/finding.ts'
import type { ErrorCode } from '../common/errors.ts'

/** A finding and where it stands in a file. */
export interface FileFinding extends Position {
  /** As it was given, or `stdin`. */
  readonly file: string
  readonly severity: 'error' | 'warning'
  /** Of an error about an object. */
  readonly code?: ErrorCode
  readonly message: string
  /** e.g. `Deployment/web`; absent where the file is not of objects. */
  readonly object?: string
  /** From the object, e.g. `spec.template.metadata.annotations["oras.land/artifacts"]`. */
  readonly path?: string
}

/**
 * `web.yaml:9:13: error: Deployment/web: MESSAGE`, as compilers write it, so that editors find the place.
 *
 * The attack: a manifest whose name holds escape sequences, for the terminal of who looks at it. Control characters are written as JSON has them.
 */
export function findingText(finding: FileFinding): string {
  const { file, line, column, severity } = finding
  return `${printable(`${file}:${line}:${column}: ${severity}: ${messageText(finding)}`)}\n`
}

function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code < 0x20 ? JSON.stringify(character).slice(1, -1) : `\\u00${code.toString(16)}`
  })
}

/**
 * A workflow command of GitHub Actions, which marks the line of a pull request.
 *
 * The attack: a message that holds what a manifest says, and that with a line break: `%0A::add-mask::`. What the runner would take for the end
 * of a command is escaped.
 *
 * @see https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
 */
export function workflowCommand(finding: FileFinding): string {
  const { file, line, column, severity } = finding
  const place = `file=${escapeProperty(file)},line=${line},col=${column}`
  return `::${severity} ${place}::${escapeData(messageText(finding))}\n`
}

function messageText({ object, message }: FileFinding): string {
  return object === undefined ? message : `${object}: ${message}`
}

function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
