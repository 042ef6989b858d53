import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers } from 'pino'
import { CodedError } from './errors.ts'
import { shownJson } from './shown-text.ts'

/** Writes one JSON object a line. Passed in wherever something is logged; there is no global one. */
export type Logger = PinoLogger

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * Makes the logger of a process.
 *
 * Values under keys that may hold a secret are never written, as a second line of defence: code does not log them
 * in the first place. Control and bidi characters are escaped. `level` is written as a word, `time` as RFC 3339 in UTC.
 *
 * @param destination where lines go; standard output when absent
 */
export function createLogger(options: {
  readonly name: string
  readonly level: LogLevel
  readonly destination?: DestinationStream
}): Logger {
  const settings = {
    level: options.level,
    base: { name: options.name },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: serializeError },
    // The attack: a name in an image turns around what a terminal shows of the log.
    hooks: { streamWrite: shownJson },
    redact: {
      paths: ['secrets', 'authorization', 'password', 'token'].flatMap((key) => [key, `*.${key}`]),
      censor: '[redacted]',
    },
  }
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination)
}

/** Writes what a reader of the log needs of an error: the code and message always, the stack only of a bug. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof CodedError)) {
    return error instanceof Error ? stdSerializers.err(error) : error
  }
  const cause = error.cause === undefined ? undefined : serializeError(error.cause)
  return {
    code: error.code,
    message: error.message,
    ...(error.code === 'INTERNAL' && { stack: error.stack }),
    ...(cause !== undefined && { cause }),
  }
}
