import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { MAX_RESPONSE_BYTES } from '../../../driver/credentials/provider-response.ts'
import { type ProviderRun, runProvider } from '../../../driver/credentials/run-provider.ts'
import { poll } from '../../support/poll.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const NEVER = new AbortController().signal
const ENV = { PATH: '/usr/bin:/bin' }

/** Runs lines of a shell script as a program. */
async function runScript(
  script: string,
  options: {
    readonly request?: string
    readonly args?: readonly string[]
    readonly env?: Readonly<Record<string, string>>
    readonly timeoutMs?: number
    readonly signal?: AbortSignal
  } = {},
): Promise<ProviderRun> {
  await using directory = await temporaryDirectory()
  const path = directory.file('program')
  await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const { request = 'request', args = [], env = {}, signal = NEVER, timeoutMs } = options
  return await runProvider({ path, args, env: { ...ENV, ...env } }, request, {
    signal,
    ...(timeoutMs !== undefined && { timeoutMs }),
  })
}

function text(run: ProviderRun): string {
  return run.kind === 'answered' ? Buffer.from(run.stdout).toString() : `${run.why}: ${run.detail}`
}

test('asks on standard input, and takes what stands on standard output', async () => {
  const run = await runScript('echo "$1 $NAME $(cat)"', {
    request: 'who?',
    args: ['a b'],
    env: { NAME: 'x' },
  })
  expect(text(run)).toBe('a b x who?\n')
})

test('takes a whole answer of a megabyte', async () => {
  const run = await runScript(`head -c ${MAX_RESPONSE_BYTES} /dev/zero`)
  expect(text(run)).toHaveLength(MAX_RESPONSE_BYTES)
})

test.each<[string, string, string]>([
  ['an exit code', 'echo "no role" >&2; exit 3', 'exit code 3: no role'],
  ['a signal', 'kill -SEGV $$', 'SIGSEGV: undefined'],
  ['more than an answer may hold', 'cat /dev/zero', 'more than 1048576 bytes of answer: undefined'],
  [
    'a flood on standard error',
    'head -c 20000000 /dev/zero >&2; echo end >&2; exit 1',
    'exit code 1: end',
  ],
])('fails with %s', async (_, script, why) => {
  expect(text(await runScript(script))).toBe(why)
})

test.each<[string, string, string]>([
  ['is not there', '', 'cannot be run: ENOENT'],
  ['is no program', 'no-program', 'cannot be run: EACCES'],
])('fails when the program %s', async (_, name, why) => {
  await using directory = await temporaryDirectory()
  await writeFile(directory.file('no-program'), 'text')
  const path = directory.file(name || 'absent')
  const run = await runProvider({ path, args: [], env: ENV }, '', { signal: NEVER })
  expect(text(run)).toBe(`${why}: undefined`)
})

test('does not mind a program that answers without reading what it is asked', async () => {
  const run = await runScript('exec <&-; echo answer', { request: 'x'.repeat(1_000_000) })
  expect(text(run)).toBe('answer\n')
})

test('does not wait for what a program leaves behind with its output', async () => {
  const run = await runScript('sleep 120 & echo "$!"')
  process.kill(Number(text(run)))
})

test('kills a program that takes too long', async () => {
  const run = await runScript('exec sleep 120', { timeoutMs: 500 })
  expect(text(run)).toBe('no answer within 0.5 s: undefined')
})

test('kills a program when the driver stops, with what it started', async () => {
  const controller = new AbortController()
  await using directory = await temporaryDirectory()
  const started = directory.file('started')
  const running = runScript(
    `sleep 120 & echo "$$ $!" > '${started}.new'; mv '${started}.new' '${started}'; wait`,
    { signal: controller.signal },
  )
  const pids = await poll(() => readFile(started, 'utf8'), {
    deadlineMs: 20_000,
    what: 'the program',
  })
  controller.abort()
  expect(text(await running)).toBe('the driver is stopping: undefined')
  for (const pid of pids.trim().split(' ')) {
    await poll(() => hasEnded(Number(pid)), { deadlineMs: 20_000, what: `the end of ${pid}` })
  }
  expect(text(await runScript('echo', { signal: controller.signal }))).toBe(
    'the driver is stopping: undefined',
  )
})

/** One that nobody has waited for yet is a zombie. */
async function hasEnded(pid: number): Promise<boolean> {
  try {
    return /\) Z /.test(await readFile(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return true
  }
}
