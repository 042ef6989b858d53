import { createHash } from 'node:crypto'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../../common/log.ts'
import { createMetrics } from '../../../common/metrics.ts'
import { loadPolicy, startPolicyFile } from '../../../common/policy/policy-file.ts'
import { addPolicyMetrics } from '../../../common/policy/policy-metrics.ts'
import { parseMetrics, sampleOf } from '../../support/metrics.ts'
import { poll } from '../../support/poll.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const policy = (effect: string) =>
  `apiVersion: csi.oras.land/v1alpha1\nkind: Policy\ndefault: ${effect}\n`
const hash = (text: string) => createHash('sha256').update(text).digest('hex')
const IN_TIME = 30_000

/** In one step: a file that is read half written is wrong for a moment. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}

function capturedLog() {
  const lines: Record<string, unknown>[] = []
  const log = createLogger({
    ...{ name: 'test', level: 'info' },
    destination: { write: (line: string) => void lines.push(JSON.parse(line)) },
  })
  const messages = () => lines.map(({ msg }) => msg)
  return { log, lines, messages }
}

describe('a policy file', () => {
  test.each<[string, (path: string) => Promise<unknown>, string, string]>([
    [
      'is missing',
      async () => undefined,
      'NOT_FOUND',
      'Cannot read the policy file "PATH": no such file',
    ],
    [
      'is a directory',
      (path) => mkdir(path),
      'INVALID',
      'Cannot read the policy file "PATH": EISDIR',
    ],
    [
      'is wrong',
      (path) => writeFile(path, policy('maybe')),
      'INVALID',
      'Cannot use the policy file "PATH": invalid policy.default (line 3, column 10): found "maybe"; expected "allow" or "deny"',
    ],
    [
      'is not UTF-8',
      (path) => writeFile(path, Buffer.from([0xff, 0xfe])),
      'INVALID',
      'Cannot use the policy file "PATH": not UTF-8',
    ],
    [
      'is too large',
      (path) => writeFile(path, '#'.repeat(512 * 1024 + 1)),
      'INVALID',
      'Cannot use the policy file "PATH": larger than 524288 bytes',
    ],
  ])('that %s starts nothing', async (_name, write, code, message) => {
    await using directory = await temporaryDirectory()
    const path = directory.file('policy.yaml')
    await write(path)
    const expected = message.replace('PATH', path)
    await expect(loadPolicy(path)).rejects.toMatchObject({ code, message: expected })
    const { log } = capturedLog()
    const hint = message.startsWith('Cannot read')
      ? '; put a policy there, or leave --policy-file out'
      : ''
    await expect(startPolicyFile({ path, log })).rejects.toMatchObject({
      ...{ code, message: expected + hint },
    })
  })

  test('is read again as a ConfigMap changes: by a swapped link', async () => {
    await using directory = await temporaryDirectory()
    const swapTo = async (name: string, text: string) => {
      await mkdir(directory.file(name))
      await writeFile(directory.file(`${name}/policy.yaml`), text)
      await symlink(name, directory.file('..next'))
      await rename(directory.file('..next'), directory.file('..data'))
    }
    await swapTo('..1', policy('allow'))
    await symlink('..data/policy.yaml', directory.file('policy.yaml'))
    const { log, messages } = capturedLog()
    await using file = await startPolicyFile({
      ...{ path: directory.file('policy.yaml'), log, intervalMs: 10 },
    })
    expect(file.current).toStrictEqual({
      policy: { rules: [], default: 'allow' },
      sha256: hash(policy('allow')),
    })
    await swapTo('..2', policy('deny'))
    await poll(() => file.current.policy.default === 'deny', {
      ...{ deadlineMs: IN_TIME, what: 'the new policy' },
    })
    expect(file.current.sha256).toBe(hash(policy('deny')))
    expect(messages()).toStrictEqual(['policy loaded', 'policy changed'])
  })

  test('that breaks leaves the last good one in force, says so once and in metrics, until it is mended', async () => {
    await using directory = await temporaryDirectory()
    const path = directory.file('policy.yaml')
    await writeFile(path, policy('deny'))
    const { log, messages, lines } = capturedLog()
    await using file = await startPolicyFile({ path, log, intervalMs: 10 })
    const metrics = createMetrics()
    const observer = addPolicyMetrics(metrics, file)
    const sample = async (name: string) => sampleOf(parseMetrics(await metrics.text()), name)
    const becomes = (isGood: boolean) =>
      poll(() => file.status.isGood === isGood, {
        ...{ deadlineMs: IN_TIME, what: isGood ? 'a good file' : 'a bad one' },
      })
    const loaded = `oras_csi_policy_info{sha256="${hash(policy('deny'))}"}`
    expect(await sample(loaded)).toBe(1)
    expect(await sample('oras_csi_policy_last_load_success')).toBe(1)
    expect(await sample('oras_csi_policy_denials_total{rule=""}')).toBe(0)

    await replace(path, policy('maybe'))
    await becomes(false)
    const { loadedAtMs } = file.status
    // What it looks at a few times more it does not tell again.
    await poll(() => Date.now() > loadedAtMs + 100, { deadlineMs: IN_TIME, what: 'time' })
    expect(file.current.policy.default).toBe('deny')
    expect(await sample(loaded)).toBe(1)
    expect(await sample('oras_csi_policy_last_load_success')).toBe(0)
    expect(await sample('oras_csi_policy_last_load_success_timestamp_seconds')).toBe(
      loadedAtMs / 1000,
    )
    await rm(path)
    await poll(() => lines.length === 3, { deadlineMs: IN_TIME, what: 'the missing file' })
    await replace(path, policy('deny'))
    await becomes(true)
    expect(file.status.loadedAtMs).toBeGreaterThan(loadedAtMs)
    expect(messages()).toStrictEqual([
      'policy loaded',
      'keeping the last good policy',
      'keeping the last good policy',
      'the policy file is as it was',
    ])
    observer.denied('no-hub')
    observer.denied(undefined)
    expect(await sample('oras_csi_policy_denials_total{rule="no-hub"}')).toBe(1)
    expect(await sample('oras_csi_policy_denials_total{rule=""}')).toBe(1)
  })
})
