import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { METRICS_PAGE } from '../docs/metrics-page.ts'
import { run } from '../support/command.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { CHECKOUT } from './manifest-objects.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: Readonly<Record<string, string>>
  annotations?: Readonly<Record<string, string>>
}

interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[]
}

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly fieldConfig?: {
    readonly defaults: { readonly thresholds?: { readonly steps: readonly object[] } }
  }
  readonly gridPos: {
    readonly h: number
    readonly w: number
    readonly x: number
    readonly y: number
  }
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[]
}

const FOLDER = join(CHECKOUT, 'manifests/monitoring')
const RULE_TESTS = join(CHECKOUT, 'test/manifests/monitoring/alerts.test.yaml')
const rules: Rules = parse(await readFile(join(FOLDER, 'alerts.yaml'), 'utf8'))
const alerts = rules.groups.flatMap((group) => group.rules)
const dashboard: { readonly panels: readonly Panel[] } = JSON.parse(
  await readFile(join(FOLDER, 'dashboard.json'), 'utf8'),
)
const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr })),
)
const whyNoPromtool = await whyNoProgram('promtool')

/** Of kube-state-metrics. */
const OTHERS = ['kube_node_info', 'kube_pod_info', 'kube_pod_status_ready']
let known: ReadonlySet<string>

beforeAll(async () => {
  // A test of its own compares that page with what the processes answer.
  const page = await readFile(METRICS_PAGE, 'utf8')
  const rows = [...page.matchAll(/^\| `(\S+)`\s*\| (\w+)\s*\|/gm)]
  known = new Set([
    ...OTHERS,
    ...rows.flatMap(([, name = '', type]) =>
      type === 'histogram' ? ['bucket', 'count', 'sum'].map((part) => `${name}_${part}`) : [name],
    ),
  ])
})

/** The names of metrics that an expression asks for. */
function metricsIn(expr: string): readonly string[] {
  return expr.match(/\b(?:oras_csi|process|kube)_[a-z_]+/g) ?? []
}

/** What Grafana makes of an expression of the dashboard before it asks: of all drivers. */
function playable(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.+')
}

describe('the alerts', () => {
  test('ask for metrics that there are', () => {
    const unknown = alerts.flatMap(({ alert, expr }) =>
      metricsIn(expr).flatMap((name) => (known.has(name) ? [] : [`${alert}: ${name}`])),
    )
    expect(unknown).toEqual([])
    expect(alerts.filter(({ expr }) => metricsIn(expr).length === 0)).toEqual([])
  })

  test.each(alerts)('$alert says what it means, how bad it is and what to do', (rule) => {
    expect(Object.keys(rule).sort()).toEqual(['alert', 'annotations', 'expr', 'for', 'labels'])
    expect(Object.keys(rule.annotations ?? {})).toEqual(['summary', 'description', 'runbook'])
    expect(['critical', 'warning', 'info']).toContain(rule.labels['severity'])
    expect(rule.alert).toMatch(/^OrasCsi[A-Z][A-Za-z]+$/)
  })

  test('are correct for promtool', async (context) => {
    skipUnless(context, whyNoPromtool)
    const said = await run('promtool', ['check', 'rules', join(FOLDER, 'alerts.yaml')])
    expect(said).toContain(`SUCCESS: ${alerts.length} rules found`)
  })

  test('fire when they should, and not before, as promtool plays it', async (context) => {
    skipUnless(context, whyNoPromtool)
    await using directory = await temporaryDirectory()
    // promtool compares all texts as well, or none when there are none.
    const groups = rules.groups.map((group) => ({
      ...group,
      rules: group.rules.map(({ annotations: _, ...rule }) => rule),
    }))
    await writeFile(directory.file('alerts.yaml'), stringify({ groups }))
    await writeFile(directory.file('test.yaml'), await readFile(RULE_TESTS))
    expect(await run('promtool', ['test', 'rules', directory.file('test.yaml')])).toContain(
      'SUCCESS',
    )
  })

  test('have a case each that they fire in', async () => {
    const cases: { tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[] } =
      parse(await readFile(RULE_TESTS, 'utf8'))
    const firing = cases.tests
      .flatMap((one) => one.alert_rule_test)
      .flatMap(({ alertname, exp_alerts }) => (exp_alerts.length > 0 ? [alertname] : []))
    expect([...new Set(firing)].sort()).toEqual(alerts.map(({ alert }) => alert).sort())
  })
})

describe('the dashboard', () => {
  test('asks for metrics that there are', () => {
    const unknown = queries.flatMap(({ title, expr }) =>
      metricsIn(expr).flatMap((name) => (known.has(name) ? [] : [`${title}: ${name}`])),
    )
    expect(unknown).toEqual([])
    expect(queries.filter(({ expr }) => metricsIn(expr).length === 0)).toEqual([])
  })

  test('shows every metric of ours', () => {
    const shown = new Set(queries.flatMap(({ expr }) => metricsIn(expr)))
    const parts = /_(?:bucket|count|sum)$/
    const missing = [...known]
      .filter((name) => name.startsWith('oras_csi_') && !parts.test(name) && !shown.has(name))
      .sort()
    expect(missing).toEqual([
      // Bytes say more.
      'oras_csi_evictions_total',
      // In the alerts, and a policy that is broken is no curve.
      'oras_csi_policy_last_load_success',
      'oras_csi_policy_last_load_success_timestamp_seconds',
      // An alert says it.
      'oras_csi_startup_taint',
      'oras_csi_store_inodes',
    ])
  })

  test('has panels beside each other, each with an id of its own', () => {
    const ids = dashboard.panels.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from(
        { length: w * h },
        (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`,
      ),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(dashboard.panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([])
  })

  test('says in each panel what it shows, and in one of a single value which are good', () => {
    const panels = dashboard.panels.filter(({ type }) => type !== 'row')
    expect(panels.filter(({ description = '' }) => description === '')).toEqual([])
    // Grafana's own thresholds, where there are none, are red from 80: a certificate would be, with a year to go.
    const stats = panels.filter(({ type }) => type === 'stat')
    const without = stats.filter(({ fieldConfig }) => !fieldConfig?.defaults.thresholds)
    expect(without.map(({ title }) => title)).toEqual([])
  })

  test('keeps driver and webhook apart where both have a metric, as promtool computes it', async (context) => {
    skipUnless(context, whyNoPromtool)
    await using directory = await temporaryDirectory()
    const shared = ['process_resident_memory_bytes', 'process_cpu_seconds_total']
    const named = queries.filter(({ expr }) => shared.some((name) => expr.includes(name)))
    expect(named.map(({ title }) => title)).toEqual(['Memory', 'CPU', 'Memory', 'CPU'])
    const delay = 'oras_csi_event_loop_longest_delay_seconds_bucket'
    const series = [
      { series: 'oras_csi_build_info{instance="node"}', values: '1x20' },
      { series: 'oras_csi_webhook_connections{instance="pod"}', values: '3x20' },
      ...['node', 'pod'].flatMap((instance) => [
        { series: `process_resident_memory_bytes{instance="${instance}"}`, values: '7x20' },
        { series: `process_cpu_seconds_total{instance="${instance}"}`, values: '0+60x20' },
      ]),
      // The driver's delays are below a tenth of a second, the webhook's below ten.
      ...['0.1', '10', '+Inf'].flatMap((le) => [
        { series: `${delay}{instance="node",le="${le}"}`, values: '0+6x20' },
        {
          series: `${delay}{instance="pod",le="${le}"}`,
          values: le === '0.1' ? '0x20' : '0+6x20',
        },
      ]),
    ]
    const asked = (expr: string, samples: readonly object[]) => ({
      ...{ expr: playable(expr), eval_time: '15m', exp_samples: samples },
    })
    const delays = queries.filter(({ expr }) => expr.includes(delay))
    const tests = [
      {
        interval: '1m',
        input_series: series,
        promql_expr_test: [
          ...named.map(({ title, expr }, index) => {
            const labels = `{instance="${index < 2 ? 'node' : 'pod'}"}`
            return asked(
              expr,
              title === 'CPU'
                ? [{ labels, value: 1 }]
                : [{ labels: `process_resident_memory_bytes${labels}`, value: 7 }],
            )
          }),
          ...delays.map(({ expr }, index) =>
            asked(`${expr} > bool 0.1`, [{ labels: '{}', value: index }]),
          ),
        ],
      },
    ]
    expect(delays).toHaveLength(2)
    await writeFile(directory.file('test.yaml'), stringify({ tests }))
    const said = await run('promtool', ['test', 'rules', directory.file('test.yaml')])
    expect(said).toContain('SUCCESS')
  })

  test('asks what promtool can read', async (context) => {
    skipUnless(context, whyNoPromtool)
    await using directory = await temporaryDirectory()
    const recorded = queries.map(({ expr }, index) => ({
      record: `query_${index}`,
      expr: playable(expr),
    }))
    const file = directory.file('rules.yaml')
    await writeFile(file, stringify({ groups: [{ name: 'queries', rules: recorded }] }))
    expect(await run('promtool', ['check', 'rules', file])).toContain(
      `SUCCESS: ${queries.length} rules found`,
    )
  })
})
