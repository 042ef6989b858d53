import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { artifact, writeLayout } from '../support/artifact.ts'
import { startProcess } from '../support/process.ts'
import { startStaticFiles } from '../support/static-files.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const BIG = Buffer.alloc(3_000_017, 'oras-csi ')
const BUILT = artifact({
  layers: [
    { title: 'hello.txt', content: 'hello' },
    { title: 'big', content: BIG },
  ],
})

async function withLayout() {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  await writeLayout(directory.file('layouts', 'app'), 'v1', BUILT)
  const made = stack.move()
  /** Runs a command where the layouts are, and gives what it wrote and how it ended. */
  const run = async (...args: readonly string[]) => {
    const script = `${process.cwd()}/cli/main.ts`
    await using cli = startProcess({ args: [script, ...args], cwd: directory.file('layouts') })
    const { code } = await cli.exited
    return { code, output: cli.output() }
  }
  return { directory, run, [Symbol.asyncDispose]: () => made.disposeAsync() }
}

describe('an OCI layout that the command line names', () => {
  test('is pulled from, and inspected', { timeout: 60_000 }, async () => {
    await using layout = await withLayout()
    const { directory, run } = layout
    const inspected = await run('inspect', '--oci-layout', 'app:v1')
    expect(inspected).toMatchObject({
      code: 0,
      output: expect.stringContaining(`manifest   ${BUILT.digest}`),
    })
    const pulled = await run('pull', '--oci-layout', './app:v1', directory.file('out'))
    expect(pulled).toMatchObject({ code: 0, output: expect.stringContaining('2 entries') })
    expect(await readFile(directory.file('out', 'hello.txt'), 'utf8')).toBe('hello')
    expect((await readFile(directory.file('out', 'big'))).equals(BIG)).toBe(true)
    expect((await readdir(directory.path)).sort()).toEqual(['layouts', 'out'])
  })

  test('that has no such tag', { timeout: 60_000 }, async () => {
    await using layout = await withLayout()
    expect(await layout.run('inspect', '--oci-layout', 'app:v2')).toEqual({
      code: 2,
      output: 'stderr: Cannot pull "oci-layout/app:v2": layout has no manifest "v2"',
    })
  })
})

test('an OCI layout that a hosts.toml names is pulled from: a directory, or a web server', {
  timeout: 60_000,
}, async () => {
  await using layout = await withLayout()
  const { directory, run } = layout
  const root = directory.file('layouts')
  await using server = await startStaticFiles({ root })
  const urls = { 'disk.example': `oci-layout://${root}`, 'web.example': `oci-layout+${server.url}` }
  for (const [registry, url] of Object.entries(urls)) {
    await mkdir(directory.file('certs.d', registry), { recursive: true })
    await writeFile(directory.file('certs.d', registry, 'hosts.toml'), `server = "${url}"\n`)
    const target = directory.file(registry)
    const hosts = ['--hosts-directory', directory.file('certs.d')]
    expect(await run('pull', `${registry}/app:v1`, target, ...hosts)).toMatchObject({ code: 0 })
    expect((await readFile(`${target}/big`)).equals(BIG)).toBe(true)
  }
})
