import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { whyNoMounts } from '../support/mounts.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { METRICS_PAGE, readLiveMetrics, withTables } from './metrics-page.ts'

test('the page on metrics lists all of both processes as they describe them; node test/docs/metrics.ts --write brings it up to date', {
  timeout: 90_000,
}, async (context) => {
  skipUnless(context, await whyNoMounts())
  const page = await readFile(METRICS_PAGE, 'utf8')
  const metrics = await readLiveMetrics()
  expect(metrics.driver.length).toBeGreaterThan(20)
  expect(metrics.webhook.length).toBeGreaterThan(5)
  expect(page).toBe(withTables(page, metrics))
  for (const { name } of [...metrics.driver, ...metrics.webhook]) expect(page).toContain(name)
})
