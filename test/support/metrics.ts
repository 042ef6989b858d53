import { request } from 'undici'

/** One metric as it was scraped: its samples by name and labels as they are written, e.g. `x_bucket{le="1"}`. */
export interface Family {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: ReadonlyMap<string, number>
}

/** Scrapes a process, and reads the answer strictly. */
export async function scrape(healthUrl: string): Promise<ReadonlyMap<string, Family>> {
  const answer = await request(`${healthUrl}/metrics`)
  if (answer.statusCode !== 200) throw new Error(`/metrics answers ${answer.statusCode}`)
  const type = answer.headers['content-type']
  if (type !== 'text/plain; version=0.0.4; charset=utf-8') throw new Error(`it is ${type}`)
  return parseMetrics(await answer.body.text())
}

/** The value of one sample, e.g. `oras_csi_trees` or `oras_csi_store_bytes{kind="trees"}`; undefined when there is none. */
export function sampleOf(
  families: ReadonlyMap<string, Family>,
  sample: string,
): number | undefined {
  for (const { samples } of families.values()) {
    const value = samples.get(sample)
    if (value !== undefined) return value
  }
  return undefined
}

const HELP = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (?:[^\\]|\\\\|\\n)+$/
const TYPE = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\\\\\|\\\\"|\\\\n)*"'
const SAMPLE = new RegExp(
  `^([a-zA-Z_:][a-zA-Z0-9_:]*)((?:\\{${LABEL}(?:,${LABEL})*\\})?) ([-+]?[0-9.]+(?:e[-+]?[0-9]+)?|[+-]Inf|NaN)$`,
)

/**
 * Reads Prometheus's text format more strictly than Prometheus: every family with its help and type and all its samples together, no sample twice,
 * counters named as counters, histograms that add up.
 *
 * @throws naming the line
 */
export function parseMetrics(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, Family & { readonly samples: Map<string, number> }>()
  let helped: string | undefined
  let current: (Family & { readonly samples: Map<string, number> }) | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const fault = (what: string) => new Error(`${what}: ${line}`)
    const help = HELP.exec(line)
    const type = TYPE.exec(line)
    const sample = SAMPLE.exec(line)
    if (help?.[1] !== undefined) {
      if (families.has(help[1])) throw fault('a family again')
      helped = help[1]
    } else if (type?.[1] !== undefined) {
      if (type[1] !== helped) throw fault('a type without help before it')
      const kind = type[2] as Family['type']
      if ((kind === 'counter') !== type[1].endsWith('_total')) throw fault('a misnamed counter')
      current = { name: type[1], type: kind, samples: new Map() }
      families.set(type[1], current)
    } else if (sample?.[1] !== undefined) {
      const [, name, labels = '', value = ''] = sample
      if (current === undefined || !isOf(current, name)) throw fault('a sample of no family')
      if (current.samples.has(name + labels)) throw fault('a sample twice')
      current.samples.set(name + labels, readValue(value))
    } else throw fault('no line of the format')
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family)
  return families
}

function isOf({ name, type }: Family, sample: string): boolean {
  if (type !== 'histogram') return sample === name
  return [`${name}_bucket`, `${name}_sum`, `${name}_count`].includes(sample)
}

function readValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  if (text === '-Inf') return Number.NEGATIVE_INFINITY
  return Number(text)
}

/** Buckets ascend in bound and count, and the last one has all. */
function checkHistogram({ name, samples }: Family): void {
  const series = new Map<string, { le: number; value: number }[]>()
  for (const [sample, value] of samples) {
    const bucket = /^.*_bucket\{(.*?),?le="([^"]+)"\}$/.exec(sample)
    if (bucket === null) continue
    const [, labels = '', le = ''] = bucket
    series.set(labels, [...(series.get(labels) ?? []), { le: readValue(le), value }])
  }
  for (const [labels, buckets] of series) {
    const rest = labels === '' ? '' : `{${labels}}`
    const last = buckets.at(-1)
    const ascends = buckets.every(
      ({ le, value }, index) =>
        le > (buckets[index - 1]?.le ?? Number.NEGATIVE_INFINITY) &&
        value >= (buckets[index - 1]?.value ?? 0),
    )
    const isWhole =
      last?.le === Number.POSITIVE_INFINITY && last.value === samples.get(`${name}_count${rest}`)
    if (!ascends || !isWhole || !samples.has(`${name}_sum${rest}`)) {
      throw new Error(`histogram ${name}${rest} does not add up`)
    }
  }
}
