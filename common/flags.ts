import { parseArgs } from 'node:util'
import { CodedError } from './errors.ts'
import { didYouMean } from './suggest.ts'

/** One command-line flag. */
export interface Flag<T> {
  /** What follows the flag in the help text, e.g. `DIRECTORY`; absent for a boolean flag. */
  readonly value?: string
  /** One letter that stands for the flag, e.g. `f` for `-f`. */
  readonly short?: string
  /** Completes "--name VALUE": one line. */
  readonly doc: string
  /** As a user would type it; undefined means the flag is required. */
  readonly default?: string
  /** An environment variable that stands in when the flag is not given. */
  readonly env?: string
  /** It may be given several times, and its value is the list of all; empty when it is not given. Has neither default nor `env`. */
  readonly repeatable?: true
  /** Turns the text into a value; throws INVALID or any error with a message that completes "Invalid --name: ". */
  readonly parse: (text: string) => T
}

/** The flags of a program by name (without dashes). */
export type FlagTable = Readonly<Record<string, Flag<unknown>>>

/** The values of a {@link FlagTable}, under the same names. */
export type FlagValues<F extends FlagTable> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T>
    ? F[K] extends { readonly repeatable: true }
      ? readonly T[]
      : T
    : never
}

/** What the command line asks for: help, or a run with these values. */
export type ParsedFlags<F extends FlagTable> =
  | { readonly help: true; readonly text: string }
  | {
      readonly help: false
      readonly values: FlagValues<F>
      readonly positionals: readonly string[]
    }

/**
 * Reads a command line strictly.
 *
 * @param usage the first line of the help text, e.g. `oras-csi-driver [FLAGS]`
 * @throws INVALID for an unknown flag (with the nearest one), a missing or malformed value
 */
export function parseFlags<const F extends FlagTable>(options: {
  readonly usage: string
  readonly flags: F
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** How many arguments without a dash are wanted, `some` for one or more; default 0. */
  readonly positionals?: number | 'some'
}): ParsedFlags<F> {
  const { flags, env } = options
  const names = Object.keys(flags)
  const { tokens } = parseArgs({
    args: [...options.argv],
    options: Object.fromEntries([
      ...Object.entries(flags).map(([name, flag]) => [
        name,
        {
          type: isBoolean(flag) ? 'boolean' : 'string',
          ...(flag.short !== undefined && { short: flag.short }),
        },
      ]),
      ['help', { type: 'boolean', short: 'h' }],
    ]),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const given = new Map<string, string[]>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    if (token.name === 'help') {
      return { help: true, text: helpText(options.usage, flags) }
    }
    const flag = flags[token.name]
    if (flag === undefined) {
      throw new CodedError(
        'INVALID',
        `Unknown flag "${token.rawName}"${didYouMean(token.name, names)} (--help lists them)`,
      )
    }
    if (!isBoolean(flag) && (token.value === undefined || token.value === '')) {
      throw new CodedError('INVALID', `Missing value: expected --${token.name} ${flag.value}`)
    }
    given.set(token.name, [...(given.get(token.name) ?? []), token.value ?? 'true'])
  }
  const wanted = options.positionals ?? 0
  const isWanted = wanted === 'some' ? positionals.length > 0 : positionals.length === wanted
  if (!isWanted) {
    throw new CodedError(
      'INVALID',
      `Expected ${wanted === 'some' ? 'at least 1' : wanted} arguments, found ${positionals.length}; usage: ${options.usage}`,
    )
  }
  const values: Record<string, unknown> = {}
  for (const name of names) {
    const flag = flags[name]
    if (flag === undefined) continue
    const texts = given.get(name) ?? []
    if (flag.repeatable) {
      values[name] = texts.map((text) => parseValue(name, flag, text))
      continue
    }
    const text = texts.at(-1) ?? envValue(flag, env) ?? flag.default
    if (text === undefined) {
      if (isBoolean(flag)) {
        values[name] = flag.parse('false')
        continue
      }
      throw new CodedError('INVALID', `Missing flag: --${name} ${flag.value} is required`)
    }
    values[name] = parseValue(name, flag, text)
  }
  return { help: false, values: values as FlagValues<F>, positionals }
}

function isBoolean(flag: Flag<unknown> | undefined): boolean {
  return flag?.value === undefined
}

function envValue(flag: Flag<unknown>, env: Readonly<Record<string, string | undefined>>) {
  const value = flag.env === undefined ? undefined : env[flag.env]
  return value === '' ? undefined : value
}

function parseValue(name: string, flag: Flag<unknown>, text: string): unknown {
  try {
    return flag.parse(text)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CodedError('INVALID', `Invalid --${name} ${JSON.stringify(text)}: ${why}`, {
      cause: error,
    })
  }
}

function helpText(usage: string, flags: FlagTable): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const left = `  ${flag.short === undefined ? '' : `-${flag.short}, `}--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`
    const notes = [
      ...(flag.default !== undefined && flag.default !== '' ? [`default ${flag.default}`] : []),
      ...(flag.env === undefined ? [] : [`or $${flag.env}`]),
      ...(flag.repeatable ? ['may be repeated'] : []),
    ]
    return [left, flag.doc + (notes.length === 0 ? '' : ` (${notes.join(', ')})`)] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length), '  --help'.length)
  return [
    `Usage: ${usage}`,
    '',
    ...rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`),
    `${'  --help'.padEnd(width)}  show this text`,
    '',
  ].join('\n')
}

/** Any text. */
export const text = (value: string): string => value

/** What another parser reads, or undefined when it is not given; for flags whose default is the empty text. */
export function optional<T>(parse: (value: string) => T): (value: string) => T | undefined {
  return (value) => (value === '' ? undefined : parse(value))
}

/** `true` or `false`. */
export function bool(value: string): boolean {
  if (value === 'true') return true
  if (value === 'false') return false
  throw new CodedError('INVALID', 'expected true or false')
}

/** One of a few words. */
export function oneOf<const T extends string>(words: readonly T[]): (value: string) => T {
  return (value) => {
    const word = words.find((candidate) => candidate === value)
    if (word === undefined) {
      throw new CodedError(
        'INVALID',
        `expected one of ${words.join(', ')}${didYouMean(value, words)}`,
      )
    }
    return word
  }
}

/** A whole number within bounds, both included. */
export function integer(minimum: number, maximum: number): (value: string) => number {
  return (value) => {
    const number = /^-?[0-9]+$/.test(value) ? Number(value) : Number.NaN
    if (!(number >= minimum && number <= maximum)) {
      throw new CodedError('INVALID', `expected a whole number from ${minimum} to ${maximum}`)
    }
    return number
  }
}

const UNITS_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
}

/** A number of bytes as Kubernetes writes quantities, e.g. `100Gi`, `500M` or `4096`, within bounds, both included. */
export function byteCount(minimum: number, maximum: number): (value: string) => number {
  return (value) => {
    const match = /^([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T|)$/.exec(value)
    const bytes = Number(match?.[1]) * (UNITS_BYTES[match?.[2] ?? ''] ?? Number.NaN)
    if (!(Number.isInteger(bytes) && bytes >= minimum && bytes <= maximum)) {
      throw new CodedError(
        'INVALID',
        `expected bytes from ${minimum} to ${maximum}, as a number and perhaps a unit, e.g. "100Gi" or "500M"`,
      )
    }
    return bytes
  }
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** A duration such as `250ms`, `15s`, `5m` or `24h`, in milliseconds. */
export function durationMs(value: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/.exec(value)
  const unit = match?.[2] === undefined ? undefined : UNITS_MS[match[2]]
  if (match?.[1] === undefined || unit === undefined) {
    throw new CodedError('INVALID', 'expected a number and a unit: ms, s, m or h, e.g. "15s"')
  }
  return Number(match[1]) * unit
}

/** How often something is done, `100ms` to `500h`: more often nothing changes by much, and a timer's delay is at most 2^31 - 1 milliseconds. */
export function intervalMs(value: string): number {
  const ms = durationMs(value)
  if (ms < 100 || ms > 2 ** 31 - 1) throw new CodedError('INVALID', 'expected 100ms to 500h')
  return ms
}

/** Where a server listens. */
export interface ListenAddress {
  /** Empty: every address. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

/** `:9443`, `127.0.0.1:0` or `[::1]:9443`. */
export function listenAddress(value: string): ListenAddress {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:[\]]*):([0-9]{1,5})$/.exec(value)
  const port = Number(match?.[2])
  if (match?.[1] === undefined || !(port <= 65_535)) {
    throw new CodedError('INVALID', 'expected HOST:PORT or :PORT, e.g. ":9443"')
  }
  return { host: match[1].replace(/^\[|\]$/g, ''), port }
}
