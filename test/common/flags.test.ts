import { describe, expect, test } from 'vitest'
import { CodedError } from '../../common/errors.ts'
import {
  bool,
  byteCount,
  durationMs,
  integer,
  listenAddress,
  oneOf,
  optional,
  parseFlags,
  text,
} from '../../common/flags.ts'

const FLAGS = {
  listen: { value: '[HOST]:PORT', doc: 'where to listen', default: ':9443', parse: listenAddress },
  level: {
    value: 'LEVEL',
    doc: 'how much to log',
    default: 'info',
    parse: oneOf(['info', 'debug']),
  },
  node: { value: 'NAME', doc: 'the node', env: 'NODE_NAME', parse: text },
  quick: { doc: 'skip the rest', parse: bool },
} as const

const LISTS = {
  only: { value: 'NAME', doc: 'what to take', repeatable: true, parse: oneOf(['a', 'b']) },
  size: { value: 'N', doc: 'how many', default: '', parse: optional(integer(1, 9)) },
} as const

function read(argv: readonly string[], env: Record<string, string> = { NODE_NAME: 'n1' }) {
  return parseFlags({ usage: 'program [FLAGS]', flags: FLAGS, argv, env })
}

describe('parseFlags', () => {
  test('takes defaults, then the environment, then the command line', () => {
    expect(read([])).toEqual({
      help: false,
      positionals: [],
      values: { listen: { host: '', port: 9443 }, level: 'info', node: 'n1', quick: false },
    })
    expect(read(['--node', 'n2', '--level=debug', '--quick', '--listen', '[::1]:0'])).toEqual({
      help: false,
      positionals: [],
      values: { listen: { host: '::1', port: 0 }, level: 'debug', node: 'n2', quick: true },
    })
  })

  test('takes one argument or more where some are wanted', () => {
    const some = (...argv: string[]) => {
      const options = {
        usage: 'program',
        flags: LISTS,
        argv,
        env: {},
        positionals: 'some',
      } as const
      const parsed = parseFlags(options)
      return parsed.help ? [] : parsed.positionals
    }
    expect([some('a'), some('a', '--size', '3', 'b')]).toEqual([['a'], ['a', 'b']])
    expect(() => some()).toThrow(
      new CodedError('INVALID', 'Expected at least 1 arguments, found 0; usage: program'),
    )
  })

  test('makes a list of a flag that may be repeated', () => {
    const values = (...argv: string[]) => {
      const parsed = parseFlags({ usage: 'program', flags: LISTS, argv, env: {} })
      return parsed.help ? parsed.text : parsed.values
    }
    expect(values('--only', 'b', '--size', '3', '--only=a')).toEqual({ only: ['b', 'a'], size: 3 })
    expect(values()).toEqual({ only: [], size: undefined })
    expect(() => values('--only', 'a', '--only', 'cde')).toThrow(
      new CodedError('INVALID', 'Invalid --only "cde": expected one of a, b'),
    )
    expect(values('--help')).toContain('  --only NAME  what to take (may be repeated)\n')
  })

  test.each([
    [['--lisen', ':1'], 'Unknown flag "--lisen"; did you mean "listen"? (--help lists them)'],
    [
      ['--level', 'debag'],
      'Invalid --level "debag": expected one of info, debug; did you mean "debug"?',
    ],
    [['--listen', '9443'], 'Invalid --listen "9443": expected HOST:PORT or :PORT, e.g. ":9443"'],
    [
      ['--listen', ':70000'],
      'Invalid --listen ":70000": expected HOST:PORT or :PORT, e.g. ":9443"',
    ],
    [['--listen'], 'Missing value: expected --listen [HOST]:PORT'],
    [['--quick=maybe'], 'Invalid --quick "maybe": expected true or false'],
    [['stray'], 'Expected 0 arguments, found 1; usage: program [FLAGS]'],
  ])('refuses %j', (argv, message) => {
    expect(() => read(argv)).toThrow(new CodedError('INVALID', message))
  })

  test('says that a flag without a default is required', () => {
    expect(() => read([], {})).toThrow(
      new CodedError('INVALID', 'Missing flag: --node NAME is required'),
    )
  })

  test('prints every flag with its default and environment variable', () => {
    expect(read(['--help'], {})).toEqual({
      help: true,
      text: [
        'Usage: program [FLAGS]',
        '',
        '  --listen [HOST]:PORT  where to listen (default :9443)',
        '  --level LEVEL         how much to log (default info)',
        '  --node NAME           the node (or $NODE_NAME)',
        '  --quick               skip the rest',
        '  --help                show this text',
        '',
      ].join('\n'),
    })
  })
})

describe('values', () => {
  test.each([
    ['250ms', 250],
    ['15s', 15_000],
    ['1.5m', 90_000],
    ['24h', 86_400_000],
  ])('the duration %s is %i ms', (value, ms) => expect(durationMs(value)).toBe(ms))

  test.each(['15', 's', '-1s', '1d', ''])('%j is no duration', (value) => {
    expect(() => durationMs(value)).toThrow('expected a number and a unit')
  })

  test.each(['0', '65', '1.5', 'x', ''])('%j is not within 1 to 64', (value) => {
    expect(() => integer(1, 64)(value)).toThrow('expected a whole number from 1 to 64')
  })
})

describe('byteCount', () => {
  const read = byteCount(1, 2 ** 40)

  test.for([
    ['4096', 4096],
    ['1.5Ki', 1536],
    ['100Gi', 100 * 1024 ** 3],
    ['500M', 500e6],
    ['1Ti', 2 ** 40],
  ] as const)('reads %s', ([text, bytes]) => {
    expect(read(text)).toBe(bytes)
  })

  test.for(['', '0', '-1', '1.5', '1gi', '1 Gi', '1GiB', '2Ti', 'Gi', '1e3', '0x10'])(
    'refuses %j',
    (text) => {
      expect(() => read(text)).toThrow(
        'expected bytes from 1 to 1099511627776, as a number and perhaps a unit, e.g. "100Gi" or "500M"',
      )
    },
  )
})
