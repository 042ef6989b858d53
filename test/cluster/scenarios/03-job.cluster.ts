import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { artifact, directoryLayer, load } from '../../support/artifact.ts'
import { exampleFile } from '../support/install.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { openScenario } from '../support/scenario.ts'

test('an indexed Job of ten pods, five at a time, shares one artifact: it is downloaded once', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  const chromosomes = ['chr1.fa', 'chr2.fa'].map((path) => ({ path, content: `>${path}\nACGT\n` }))
  load(
    registry,
    'acme/genome:grch38',
    artifact({ layers: [directoryLayer('grch38', chromosomes)] }),
  )
  await using scenario = await openScenario('job')
  const { kubectl } = scenario
  // The example, but for how many: a node takes 110 pods.
  const job = parse(await readFile(exampleFile('job.yaml'), 'utf8'))
  Object.assign(job.spec, { completions: 10, parallelism: 5 })
  await kubectl.apply([job])
  await kubectl.runFor(185_000, 'wait', '--for=condition=complete', 'job/align', '--timeout=180s')

  const logs = await kubectl.run(
    'logs',
    '--selector',
    'job-name=align',
    '--tail=-1',
    '--prefix=false',
    '--max-log-requests=10',
  )
  const parts = logs.split('\n').filter((line) => line.startsWith('part '))
  expect(parts.sort()).toEqual(Array.from({ length: 10 }, (_, index) => `part ${index}`))
  expect(logs.match(/chr1\.fa$/gm)?.length).toBe(10)
  expect(registry.count('GET', '/v2/acme/genome/blobs/*')).toBe(1)
})
