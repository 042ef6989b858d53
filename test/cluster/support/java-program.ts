import { readFile, writeFile } from 'node:fs/promises'
import { run } from '../../support/command.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const SOURCE = new URL('Hello.java', import.meta.url).pathname

/** Compiles the program into a jar, which calls itself `version`. Any Java from 17 runs it. */
export async function javaProgram(name: string, version: string): Promise<Buffer> {
  await using directory = await temporaryDirectory()
  const classes = directory.file('classes')
  await run('javac', ['--release', '17', '-d', classes, SOURCE])
  const manifest = directory.file('manifest')
  await writeFile(manifest, `Main-Class: hello.Hello\nImplementation-Version: ${version}\n`)
  const jar = directory.file(name)
  await run('jar', ['--create', '--file', jar, '--manifest', manifest, '-C', classes, '.'])
  return readFile(jar)
}
