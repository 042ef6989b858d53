import { expect, test } from 'vitest'
import { startApiImitation } from '../support/api-imitation.ts'
import { startNode } from '../support/driver.ts'
import { register } from '../support/kubelet.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { withMessage } from '../support/process.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const KEY = 'csi.oras.land/agent-not-ready'

test('a new node loses its startup taint when the kubelet has registered the driver, not before', async (context) => {
  skipUnless(context, why)
  await using server = await startApiImitation()
  const path = '/api/v1/nodes/node-1'
  server.objects.set(path, { spec: { taints: [{ key: KEY, effect: 'NoSchedule' }] } })
  await using node = await startNode()
  await using driver = await node.startDriver({
    env: server.env,
    args: [
      `--account-directory=${server.accountDirectory}`,
      `--startup-taint=${KEY}`,
      '--events=false',
    ],
    registered: false,
  })
  expect(server.calls).toEqual([])
  await register(`${node.kubeletDir}/plugins_registry`)
  await driver.process.waitForLine(withMessage('startup taint removed'))
  expect(server.objects.get(path)).toEqual({ spec: { taints: [] } })
  const families = await scrape(driver.healthUrl)
  expect(sampleOf(families, 'oras_csi_startup_taint')).toBe(0)
})

test('without an API server the driver serves, and says that the taint stays', async (context) => {
  skipUnless(context, why)
  await using node = await startNode()
  await using driver = await node.startDriver({ args: [`--startup-taint=${KEY}`] })
  await driver.process.waitForLine(withMessage('the startup taint stays: no API server'))
  expect(sampleOf(await scrape(driver.healthUrl), 'oras_csi_startup_taint')).toBe(1)
})
