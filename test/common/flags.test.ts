import { describe, expect, test } from 'vitest'
import { CodedError } from '../../common/errors.ts'
import {
  bool,
  durationMs,
  integer,
  listenAddress,
  oneOf,
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
