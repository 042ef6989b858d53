import { expect, test } from 'vitest'
import { run, runToEnd } from '../support/command.ts'

test('a command gives its output, and hears its input', async () => {
  expect(await run('cat', [], { input: 'said' })).toBe('said')
})

test('a command without input finds it at its end', async () => {
  expect(await run('cat', [])).toBe('')
})

test('a failure names the command line, the status, and what the command wrote', async () => {
  await expect(run('sh', ['-c', 'echo out; echo why >&2; exit 3'])).rejects.toThrow(
    /^Cannot run "sh -c .*": exit status 3\nwhy\nout$/,
  )
})

test('a status that is expected is no failure', async () => {
  const result = await runToEnd('sh', ['-c', 'echo why >&2; exit 3'], { accept: [0, 3] })
  expect(result).toEqual({ stdout: '', stderr: 'why\n', status: 3 })
})

test('a command that hangs is killed', async () => {
  await expect(run('sleep', ['1000'], { timeoutMs: 50 })).rejects.toThrow(
    'Cannot run "sleep 1000": ended with SIGKILL, after at most 50 ms',
  )
})

test('a program that is not there is named', async () => {
  await expect(run('no-such-program', [])).rejects.toThrow(
    'Cannot run "no-such-program": spawn no-such-program ENOENT',
  )
})
