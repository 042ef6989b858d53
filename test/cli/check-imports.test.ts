import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CHECKOUT } from '../manifests/manifest-objects.ts'

/** Of 60 MB of memory and up to two seconds: on every node, and for every command, it would be felt. */
const CLIENT = '@kubernetes/client-node'

test('the official Kubernetes client is loaded by one file of the CLI, and only when that is called', async () => {
  const uses: string[] = []
  for (const folder of ['common', 'webhook', 'driver', 'cli']) {
    const names = await readdir(join(CHECKOUT, folder), { recursive: true })
    for (const name of names.filter((one) => one.endsWith('.ts'))) {
      const source = await readFile(join(CHECKOUT, folder, name), 'utf8')
      const lines = source.split('\n').filter((line) => line.includes(CLIENT))
      uses.push(...lines.map((line) => `${folder}/${name}: ${line.trim()}`))
    }
  }
  expect(uses).toStrictEqual([
    `cli/kubernetes-config.ts: import type { KubeConfig } from '${CLIENT}'`,
    `cli/kubernetes-config.ts: const { KubeConfig } = await import('${CLIENT}')`,
  ])
})
