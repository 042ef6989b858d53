import { describe, expect, test } from 'vitest'
import { createMetrics } from '../../common/metrics.ts'
import { parseMetrics } from '../support/metrics.ts'

describe('the text', () => {
  test('has help, type and every series of each metric, in the order they were made', async () => {
    const metrics = createMetrics()
    const calls = metrics.counter('calls_total', 'How many.')
    const seconds = metrics.histogram('call_seconds', 'How long.', [0.1, 1])
    metrics.gauge('things', 'What there is.', () => [
      { value: 1, labels: { kind: 'a' } },
      { value: 2.5, labels: { kind: 'b' } },
    ])
    calls.add(2, { code: 'OK' })
    calls.add(1, { code: 'OK' })
    calls.add(1, { code: 'INTERNAL' })
    for (const value of [0.1, 0.5, 60]) seconds.observe(value, { code: 'OK' })
    const text = await metrics.text()
    expect(text.split('\n')).toEqual([
      '# HELP calls_total How many.',
      '# TYPE calls_total counter',
      'calls_total{code="OK"} 3',
      'calls_total{code="INTERNAL"} 1',
      '# HELP call_seconds How long.',
      '# TYPE call_seconds histogram',
      'call_seconds_bucket{code="OK",le="0.1"} 1',
      'call_seconds_bucket{code="OK",le="1"} 2',
      'call_seconds_bucket{code="OK",le="+Inf"} 3',
      'call_seconds_sum{code="OK"} 60.6',
      'call_seconds_count{code="OK"} 3',
      '# HELP things What there is.',
      '# TYPE things gauge',
      'things{kind="a"} 1',
      'things{kind="b"} 2.5',
      '',
    ])
    expect([...parseMetrics(text).keys()]).toEqual(['calls_total', 'call_seconds', 'things'])
  })

  test('escapes what would end a line or a label', async () => {
    const metrics = createMetrics()
    metrics.gauge('odd', 'a\\b\nc', () => [{ value: 1, labels: { x: 'a"b\\c\nd' } }])
    const text = await metrics.text()
    expect(text).toBe('# HELP odd a\\\\b\\nc\n# TYPE odd gauge\nodd{x="a\\"b\\\\c\\nd"} 1\n')
    parseMetrics(text)
  })

  test('writes numbers that are none as Prometheus does', async () => {
    const metrics = createMetrics()
    metrics.gauge('odd', 'Odd.', () =>
      [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e21, 1e-7].map(
        (value, index) => ({ value, labels: { index: String(index) } }),
      ),
    )
    const text = await metrics.text()
    expect(text.split('\n').slice(2)).toEqual([
      'odd{index="0"} NaN',
      'odd{index="1"} +Inf',
      'odd{index="2"} -Inf',
      'odd{index="3"} 1e+21',
      'odd{index="4"} 1e-7',
      '',
    ])
    parseMetrics(text)
  })
})

test('a value that cannot be read is left out and said, and the others are there', async () => {
  const errors: unknown[] = []
  const metrics = createMetrics({ onError: (error) => errors.push(error) })
  metrics.gauge('broken', 'Broken.', async () => {
    throw new Error('gone')
  })
  metrics.gauge('whole', 'Whole.', () => 1)
  expect(await metrics.text()).toBe('# HELP whole Whole.\n# TYPE whole gauge\nwhole 1\n')
  expect(errors).toEqual([new Error('gone')])
})

test('a name is given once', () => {
  const metrics = createMetrics()
  metrics.counter('x_total', 'X.')
  expect(() => metrics.counter('x_total', 'X.')).toThrow('There is a metric x_total already')
})

describe('the parser of the tests refuses', () => {
  test.for<[string, string]>([
    ['a last line that does not end', '# HELP x X.\n# TYPE x gauge\nx 1'],
    ['a sample without a type', 'x 1\n'],
    ['a type without help', '# TYPE x gauge\nx 1\n'],
    ['a sample twice', '# HELP x X.\n# TYPE x gauge\nx 1\nx 2\n'],
    ['a counter that is not named as one', '# HELP x X.\n# TYPE x counter\nx 1\n'],
    ['a gauge that is named as a counter', '# HELP x_total X.\n# TYPE x_total gauge\nx_total 1\n'],
    ['a label that is not quoted', '# HELP x X.\n# TYPE x gauge\nx{a=1} 1\n'],
    ['no value', '# HELP x X.\n# TYPE x gauge\nx\n'],
    [
      'buckets that do not ascend',
      '# HELP x X.\n# TYPE x histogram\nx_bucket{le="1"} 2\nx_bucket{le="+Inf"} 1\nx_sum 1\nx_count 1\n',
    ],
    [
      'a histogram without its last bucket',
      '# HELP x X.\n# TYPE x histogram\nx_bucket{le="1"} 1\nx_sum 1\nx_count 1\n',
    ],
  ])('%s', ([, text]) => {
    expect(() => parseMetrics(text)).toThrow()
  })
})
