import { CodedError, type ErrorCode, isCodedError } from '../errors.ts'
import { warning } from './warning.ts'

/** A place in the text of an annotation; both count from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** Where something stands in what a user wrote. */
export interface Place {
  /** e.g. `oras.land/artifacts["/app"].pullPolicy` */
  readonly path: string
  /** The annotation, e.g. `oras.land/artifacts`; absent for what is no annotation, such as a volume attribute. */
  readonly annotation?: string
  /** Absent where the annotation is not YAML. */
  readonly position?: Position
  /** Which of the entries, from 0, in the order written; absent outside of them. */
  readonly entry?: number
}

/** One thing that somebody should know about what a user wrote, and where; the place is absent where there is none. */
export type Finding = Fault | Notice

/** What is wrong, and stops the pod. */
export interface Fault extends Partial<Place> {
  readonly severity: 'error'
  readonly code: ErrorCode
  /** The whole of it, place included. */
  readonly message: string
  /** What is wrong without the place, for who shows that in another way. */
  readonly problem: string
}

/** What does not stop the pod. */
export interface Notice extends Partial<Place> {
  readonly severity: 'warning'
  /** At most 120 characters. */
  readonly message: string
  /** The same, not cut. */
  readonly problem: string
}

/** What stops a composition. Its message and code are those of the first finding. */
export class CompositionError extends CodedError {
  /** At least one, in the order they were found. */
  readonly findings: readonly Fault[]

  constructor(first: Fault, others: readonly Fault[] = [], options?: ErrorOptions) {
    super(first.code, first.message, options)
    this.name = 'CompositionError'
    this.findings = [first, ...others]
  }
}

/** Makes the error for something wrong at `place`: `Invalid PATH (line 2, column 5): WHY`. */
export function invalidAt(place: Place, why: string, options?: ErrorOptions): CompositionError {
  return faultAt('INVALID', place, `Invalid ${placeText(place)}: ${why}`, why, options)
}

/** Makes the error for something wrong at `place` that has a message of its own. */
export function faultAt(
  code: ErrorCode,
  place: Partial<Place>,
  message: string,
  problem: string = message,
  options?: ErrorOptions,
): CompositionError {
  return new CompositionError({ severity: 'error', code, message, problem, ...place }, [], options)
}

/** Makes a warning; its message is cut to 120 characters. */
export function warningAt(place: Partial<Place>, text: string): Notice {
  return { severity: 'warning', message: warning(text), problem: text, ...place }
}

/** Everything that an error says is wrong. */
export function findingsOf(error: CodedError): readonly Fault[] {
  if (error instanceof CompositionError) return error.findings
  const { code, message } = error
  return [{ severity: 'error', code, message, problem: message }]
}

/** Gathers what independent steps find wrong. */
export interface FindingCollector {
  /**
   * Runs a step, and notes what it finds wrong instead of throwing it.
   *
   * @returns undefined when something was wrong
   */
  attempt<T>(step: () => T): T | undefined
  /** @throws what was found, if anything was */
  finish(): void
}

// More than a person mends in one go; a hostile annotation could have a million.
const MAX_FINDINGS = 50

/** Starts to gather findings; the same message counts once. */
export function collectFindings(): FindingCollector {
  const findings = new Map<string, Fault>()
  let cause: unknown
  const finish = () => {
    const [first, ...others] = findings.values()
    if (first !== undefined) throw new CompositionError(first, others, { cause })
  }
  return {
    attempt(step) {
      try {
        return step()
      } catch (error) {
        if (!isCodedError(error, 'INVALID', 'CONFLICT')) throw error
        cause ??= error.cause
        for (const finding of findingsOf(error)) {
          if (!findings.has(finding.message)) findings.set(finding.message, finding)
        }
        if (findings.size >= MAX_FINDINGS) finish()
        return undefined
      }
    },
    finish,
  }
}

function placeText({ path, position }: Place): string {
  return position === undefined
    ? path
    : `${path} (line ${position.line}, column ${position.column})`
}
