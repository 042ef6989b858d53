import { symlink, writeFile } from 'node:fs/promises'
import { expect, inject, test } from 'vitest'
import { buildGoProgram } from '../../peers/go-program.ts'
import { run } from '../../support/command.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { firstSteps, prepareFirstSteps } from '../first-steps.ts'
import { stopLocalRegistry } from '../node/local-registry.ts'
import { placesIn } from '../places.ts'
import { createKubectl } from '../support/kubectl.ts'

const CHECKOUT = new URL('../../..', import.meta.url).pathname

test('what npm run cluster -- up tells a person to type works as it stands', async () => {
  const places = placesIn(inject('clusterRoot'))
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  // Takes the arguments of the oras command line, and does the same with its library.
  await symlink(await buildGoProgram('oras-go'), directory.file('oras'))
  stack.defer(() => stopLocalRegistry(places))
  await prepareFirstSteps(places)
  const kubectl = createKubectl(places)
  stack.defer(async () => {
    const made = ['deployment/hello', 'pod/reader', '--grace-period=1', '--ignore-not-found']
    await kubectl.runFor(90_000, 'delete', ...made, '--timeout=80s')
    await kubectl.runFor(90_000, 'wait', '--for=delete', 'pod', '--all', '--timeout=80s')
  })
  const script = directory.file('first-steps.sh')
  await writeFile(script, firstSteps(places))
  // biome-ignore lint/style/noProcessEnv: a person's search path, with the oras command in it
  const path = `${directory.path}:${process.env['PATH']}`
  const said = await run('bash', ['-eu', '-o', 'pipefail', script], {
    cwd: CHECKOUT,
    env: { PATH: path },
    timeoutMs: 240_000,
  })
  const lines = said.split('\n')
  expect(lines).toContain('hello 1.0 on the first base')
  expect(lines.slice(-3)).toEqual(['pod/reader condition met', '# oras-csi', ''])
})
