/** Label values of one series, e.g. `{ code: 'OK' }`. Never what users choose: each value is a series for ever. */
export type Labels = Readonly<Record<string, string>>

/** A number that only grows. Its name ends in `_total`. */
export interface Counter {
  add(value: number, labels?: Labels): void
}

/** How often values fell below bounds. Its name ends in a unit. */
export interface Histogram {
  observe(value: number, labels?: Labels): void
}

/** One value of a gauge. */
export interface Sample {
  readonly value: number
  readonly labels?: Labels
}

/**
 * The metrics of a process, for Prometheus. Three kinds, a hundred lines: the library that everybody takes brings the OpenTelemetry API along, and with
 * it 17 MB of memory and 0.1 s of start (measured), on every node.
 *
 * @see https://prometheus.io/docs/practices/naming/
 */
export interface Metrics {
  counter(name: string, help: string): Counter
  /** @param bounds upper bounds of the buckets, ascending, without infinity */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram
  /** A value that is looked up when it is asked for; `type` says whether it only grows. */
  gauge(name: string, help: string, read: () => Readings, type?: 'gauge' | 'counter'): void
  /**
   * Writes everything, a metric that cannot be read left out.
   *
   * @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
   */
  text(): Promise<string>
}

type Readings = number | readonly Sample[] | Promise<number | readonly Sample[]>

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** @param options.onError told what a gauge threw */
export function createMetrics(
  options: { readonly onError?: (error: unknown) => void } = {},
): Metrics {
  const families = new Map<string, () => Promise<readonly string[]>>()
  const add = (
    name: string,
    help: string,
    type: 'counter' | 'gauge' | 'histogram',
    lines: () => readonly string[] | Promise<readonly string[]>,
  ) => {
    if (families.has(name)) throw new Error(`There is a metric ${name} already`)
    families.set(name, async () => {
      try {
        return [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...(await lines())]
      } catch (error) {
        options.onError?.(error)
        return []
      }
    })
  }

  return {
    counter(name, help) {
      const series = createSeries(() => ({ value: 0 }))
      add(name, help, 'counter', () =>
        [...series.all()].map(({ labels, state }) => line(name, labels, state.value)),
      )
      return {
        add(value, labels) {
          series.of(labels).value += value
        },
      }
    },

    histogram(name, help, bounds) {
      const series = createSeries(() => ({ counts: bounds.map(() => 0), count: 0, sum: 0 }))
      add(name, help, 'histogram', () =>
        [...series.all()].flatMap(({ labels, state }) => [
          ...bounds.map((bound, index) =>
            line(`${name}_bucket`, { ...labels, le: String(bound) }, state.counts[index] ?? 0),
          ),
          line(`${name}_bucket`, { ...labels, le: '+Inf' }, state.count),
          line(`${name}_sum`, labels, state.sum),
          line(`${name}_count`, labels, state.count),
        ]),
      )
      return {
        observe(value, labels) {
          const state = series.of(labels)
          state.count += 1
          state.sum += value
          for (const [index, bound] of bounds.entries()) {
            if (value <= bound) state.counts[index] = (state.counts[index] ?? 0) + 1
          }
        },
      }
    },

    gauge(name, help, read, type = 'gauge') {
      add(name, help, type, async () => {
        const found = await read()
        const samples = typeof found === 'number' ? [{ value: found }] : found
        return samples.map(({ labels = {}, value }: Sample) => line(name, labels, value))
      })
    },

    async text() {
      const blocks = await Promise.all([...families.values()].map((lines) => lines()))
      return blocks.flat().join('\n').concat('\n')
    },
  }
}

/** What is known of each combination of labels; made when it is met first. */
function createSeries<S>(create: () => S) {
  const series = new Map<string, { readonly labels: Labels; readonly state: S }>()
  return {
    of(labels: Labels = {}): S {
      const key = formatLabels(labels)
      const found = series.get(key)
      if (found !== undefined) return found.state
      const state = create()
      series.set(key, { labels, state })
      return state
    },
    all: () => series.values(),
  }
}

function line(name: string, labels: Labels, value: number): string {
  return `${name}${formatLabels(labels)} ${formatValue(value)}`
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function formatValue(value: number): string {
  if (Number.isFinite(value)) return String(value)
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? '+Inf' : '-Inf'
}

function escapeLabel(value: string): string {
  return escapeHelp(value).replaceAll('"', '\\"')
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
