import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startNode } from '../support/driver.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { mountSecret, NAMES } from '../webhook/serving-certificate.ts'
import { table } from './table.ts'

/** A metric as its process describes it. */
export interface Metric {
  readonly name: string
  readonly type: string
  readonly help: string
}

/** The metrics of both processes, with everything on that adds some. */
export interface LiveMetrics {
  readonly driver: readonly Metric[]
  readonly webhook: readonly Metric[]
}

export const METRICS_PAGE = join(import.meta.dirname, '../../docs/metrics.md')

const POLICY = 'apiVersion: csi.oras.land/v1alpha1\nkind: Policy\ndefault: allow\n'

/** Asks a driver and a webhook that run. Needs to be able to mount. */
export async function readLiveMetrics(): Promise<LiveMetrics> {
  await using directory = await temporaryDirectory()
  const policy = directory.file('policy.yaml')
  await writeFile(policy, POLICY)
  await using node = await startNode()
  await using driver = await node.startDriver({
    args: [`--policy-file=${policy}`, '--startup-taint=csi.oras.land/agent-not-ready'],
  })
  const authority = await createCertificateAuthority()
  await mountSecret(directory.path, await authority.issue({ names: NAMES }))
  await using webhook = startProcess({
    args: [
      'webhook/main.ts',
      ...['--listen=127.0.0.1:0', '--health-listen=127.0.0.1:0', '--shutdown-grace=0s'],
      ...[`--certificate-directory=${directory.path}`, `--policy-file=${policy}`],
    ],
  })
  const { json } = await webhook.waitForLine(withMessage('serving'), 60_000)
  return {
    driver: await readMetrics(driver.healthUrl),
    webhook: await readMetrics(`http://127.0.0.1:${Number(json?.['healthPort'])}`),
  }
}

async function readMetrics(url: string): Promise<readonly Metric[]> {
  const { body } = await request(`${url}/metrics`)
  const text = await body.text()
  return [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)]
    .map(([, name = '', help = '', type = '']) => ({ name, type, help }))
    .sort((one, other) => (one.name < other.name ? -1 : 1))
}

const TABLE = /(<!-- metrics of the (driver|webhook) -->\n)[\s\S]*?(<!-- end -->)/g

/** The page with its tables as they should be. */
export function withTables(page: string, metrics: LiveMetrics): string {
  return page.replace(TABLE, (_, begin: string, which: keyof LiveMetrics, end: string) => {
    return `${begin}\n${tableOf(metrics[which])}\n\n${end}`
  })
}

function tableOf(metrics: readonly Metric[]): string {
  const rows = metrics.map(({ name, type, help }) => [`\`${name}\``, type, escapeCell(help)])
  return table([['metric', 'type', 'says'], ...rows]).trimEnd()
}

/** A bar would end the cell, and an angle bracket begin a tag. */
function escapeCell(help: string): string {
  return help.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}

/** Writes the tables anew. */
export async function updateMetricsPage(): Promise<void> {
  const page = await readFile(METRICS_PAGE, 'utf8')
  await writeFile(METRICS_PAGE, withTables(page, await readLiveMetrics()))
}
