import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { artifact, push } from '../support/artifact.ts'
import { startRegistry } from '../support/registry.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const run = promisify(execFile)

test('the npm package, packed and installed in an empty folder, works with plain Node', {
  timeout: 180_000,
}, async () => {
  await using folder = await temporaryDirectory()
  await using registry = await startRegistry()
  await push(
    registry.url,
    'acme/app:v1',
    artifact({ layers: [{ title: 'app.jar', content: 'x' }] }),
  )
  const npm = (args: readonly string[], cwd: string) =>
    run('npm', [...args, '--no-audit', '--no-fund', '--prefer-offline'], { cwd })

  // 1. What is published.
  const { stdout: packed } = await npm(
    ['pack', '--json', '--pack-destination', folder.path],
    CHECKOUT,
  )
  const { filename, files } = firstPackage(packed)
  const outside = files.filter(
    (file) => !/^(dist\/.*\.js|README\.md|CHANGELOG\.md|LICENSE|package\.json)$/.test(file),
  )
  expect(outside).toEqual([])
  expect(files).toContain('dist/cli/main.js')

  // 2. As a person installs it.
  await writeFile(folder.file('package.json'), '{}')
  await npm(['install', `./${filename}`], folder.path)
  const program = folder.file('node_modules/.bin/oras-csi')
  // Node itself, without any option, and nothing of the checkout.
  const cli = (args: readonly string[]) =>
    run(process.execPath, [program, ...args], {
      cwd: folder.path,
      env: { PATH: '/usr/bin:/bin' },
    })

  // 3. And uses it.
  const { version } = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8'))
  expect((await cli(['--version'])).stdout).toBe(`${version}\n`)
  await writeFile(
    folder.file('pod.yaml'),
    `apiVersion: v1
kind: Pod
metadata:
  name: app
  annotations:
    oras.land/artifacts: "/app: ${registry.host}/acme/app:v1"
spec:
  containers:
    - name: app
      image: debian:12
`,
  )
  expect((await cli(['preview', '-f', 'pod.yaml'])).stdout).toContain('driver: csi.oras.land')
  // With the threads that it starts from files of its own.
  await cli(['pull', `${registry.host}/acme/app:v1`, 'out'])
  expect(await readFile(folder.file('out/app.jar'), 'utf8')).toBe('x')
})

function firstPackage(json: string): { readonly filename: string; readonly files: string[] } {
  // What prepack prints comes before.
  const parsed = JSON.parse(json.slice(json.indexOf('[\n')))
  const [first] = parsed
  return {
    filename: String(first.filename),
    files: first.files.map(({ path }: { path: string }) => path),
  }
}
