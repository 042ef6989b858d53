import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { poll } from '../support/poll.ts'
import { type ChildProcess, startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

// The handler first: a signal may follow the first line at once.
const SERVER = `
process.on('SIGTERM', () => { console.log('{"msg":"stopping"}'); process.exit(3) })
setInterval(() => {}, 1000)
console.log(JSON.stringify({ level: 'info', msg: 'serving', port: 4711, env: process.env }))
console.error('a word on stderr')
`

async function script(directory: string, text: string): Promise<string> {
  const file = `${directory}/main.ts`
  await writeFile(file, text)
  return file
}

test('a process runs with its arguments and environment only, says what it logs and how it ends', async () => {
  await using directory = await temporaryDirectory()
  const file = await script(directory.path, SERVER)
  await using child = startProcess({ args: [file], env: { FLAG: 'a' } })
  const { json } = await child.waitForLine(withMessage('serving'))
  expect(json).toMatchObject({ port: 4711 })
  expect(Object.keys(Object(json?.['env'])).sort()).toEqual(['FLAG', 'PATH'])
  await child.waitForLine(({ stream, text }) => stream === 'stderr' && text === 'a word on stderr')
  child.kill('SIGTERM')
  expect(await child.exited).toEqual({ code: 3, signal: null })
  expect(child.lines.at(-1)).toEqual({
    stream: 'stdout',
    text: '{"msg":"stopping"}',
    json: { msg: 'stopping' },
  })
})

test('a wait for a line fails with the output when the process ends, and when it takes too long', async () => {
  await using directory = await temporaryDirectory()
  const file = await script(directory.path, `console.log('no such flag'); process.exitCode = 2`)
  await using child = startProcess({ args: [file] })
  await expect(child.waitForLine(withMessage('serving'))).rejects.toThrow(
    `Ended with exit code 2; output of ${file}:\nstdout: no such flag`,
  )
  const slow = await script(directory.path, SERVER)
  await using server = startProcess({ args: [slow] })
  await server.waitForLine(withMessage(/^serv/))
  await expect(server.waitForLine(withMessage('never'), 1)).rejects.toThrow(
    /^No such line within 1 ms; output of .*:\nstdout: \{"level":"info"/,
  )
})

test('a process is dead when it is disposed of', async () => {
  await using directory = await temporaryDirectory()
  const file = await script(directory.path, SERVER.replace('process.exit(3)', ''))
  let child: ChildProcess
  {
    await using running = startProcess({ args: [file] })
    child = running
    await running.waitForLine(withMessage('serving'))
    running.kill('SIGTERM')
    await running.waitForLine(withMessage('stopping'))
  }
  expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
  expect(() => process.kill(child.pid, 0)).toThrow('ESRCH')
})

test('a command that does not exist ends at once', async () => {
  await using child = startProcess({ args: ['x'], command: '/no/such/command' })
  expect(await child.exited).toEqual({ code: null, signal: null })
  expect(child.output()).toMatch(/ENOENT/)
})

test('poll gives the first value, and says in the end what it waited for and why not', async () => {
  let calls = 0
  expect(
    await poll(() => (++calls === 3 ? calls : undefined), { deadlineMs: 5000, what: 'three' }),
  ).toBe(3)
  const failing = () => {
    throw new Error('still closed')
  }
  await expect(poll(failing, { deadlineMs: 1, what: 'the door' })).rejects.toThrow(
    'Waited 1 ms in vain for the door: still closed',
  )
})
