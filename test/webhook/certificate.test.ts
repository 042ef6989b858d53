import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../common/errors.ts'
import { createLogger } from '../../common/log.ts'
import { type Certificate, CertificateWatcher, loadCertificate } from '../../webhook/certificate.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { poll } from '../support/poll.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { fingerprintOf, mountSecret, NAMES, swapSecret, writePair } from './serving-certificate.ts'

const authority = await createCertificateAuthority()
const issue = () => authority.issue({ names: NAMES })

describe('loadCertificate', () => {
  test('gives the pair, when it ends, and its fingerprint', async () => {
    await using directory = await temporaryDirectory()
    const notAfter = new Date('2040-01-02T03:04:05Z')
    const pair = await authority.issue({ names: NAMES, notAfter })
    await writePair(directory.path, pair)
    expect(await loadCertificate(directory.path)).toStrictEqual({
      ...pair,
      expires: notAfter,
      fingerprint: fingerprintOf(pair),
    })
  })

  test('refuses a missing file', async () => {
    await using directory = await temporaryDirectory()
    const path = directory.file('tls.crt')
    await writeFile(directory.file('tls.key'), (await issue()).key)
    await expect(loadCertificate(directory.path)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: `Cannot read "${path}": ENOENT`,
    })
  })

  test.each(['tls.crt', 'tls.key'])(
    'refuses %s that is no PEM, without quoting it',
    async (name) => {
      await using directory = await temporaryDirectory()
      await writePair(directory.path, await issue())
      await writeFile(directory.file(name), 'secret')
      const error = await loadCertificate(directory.path).catch((thrown: unknown) => thrown)
      expect(error).toStrictEqual(
        new CodedError('INVALID', `Cannot use "${directory.file(name)}": not valid PEM`),
      )
    },
  )

  test('refuses a key of another certificate', async () => {
    await using directory = await temporaryDirectory()
    await writePair(directory.path, { ...(await issue()), key: (await issue()).key })
    await expect(loadCertificate(directory.path)).rejects.toMatchObject({
      code: 'INVALID',
      message: `Cannot use the certificate in "${directory.path}": "tls.key" is not the key of "tls.crt"`,
    })
  })
})

describe('CertificateWatcher', () => {
  async function watched(directory: string) {
    const changes: Certificate[] = []
    const lines: Record<string, unknown>[] = []
    const log = createLogger({
      name: 'test',
      level: 'info',
      destination: { write: (line: string) => lines.push(JSON.parse(line)) },
    })
    const watcher = await CertificateWatcher.start({
      directory,
      log,
      onChange: (certificate) => changes.push(certificate),
    })
    const waitFor = (message: string) =>
      poll(() => lines.find(({ msg }) => msg === message), { deadlineMs: 10_000, what: message })
    return {
      watcher,
      changes,
      lines,
      waitFor,
      [Symbol.asyncDispose]: () => watcher[Symbol.asyncDispose](),
    }
  }

  test('takes up a secret that the kubelet swaps', async () => {
    await using directory = await temporaryDirectory()
    await mountSecret(directory.path, await issue())
    await using subject = await watched(directory.path)
    const next = await issue()
    await swapSecret(directory.path, next, 2)
    const line = await subject.waitFor('certificate changed')
    expect(line).toMatchObject({ level: 'info', fingerprint: fingerprintOf(next) })
    expect(subject.changes.map(({ cert, key }) => ({ cert, key }))).toStrictEqual([next])
    expect(subject.watcher.current).toMatchObject(next)
  })

  test('takes up plain files that are written one after the other', async () => {
    await using directory = await temporaryDirectory()
    await writePair(directory.path, await issue())
    await using subject = await watched(directory.path)
    const next = await issue()
    await writePair(directory.path, next)
    await subject.waitFor('certificate changed')
    expect(subject.changes.map(({ cert, key }) => ({ cert, key }))).toStrictEqual([next])
  })

  test.each<[string, (directory: string) => Promise<void>]>([
    [
      'does not match',
      async (directory) =>
        swapSecret(directory, { ...(await issue()), key: (await issue()).key }, 2),
    ],
    ['does not parse', (directory) => swapSecret(directory, { cert: 'x', key: 'y' }, 2)],
  ])('keeps the old pair while the new one %s, then takes up a good one', async (_name, spoil) => {
    await using directory = await temporaryDirectory()
    const first = await issue()
    await mountSecret(directory.path, first)
    await using subject = await watched(directory.path)
    await spoil(directory.path)
    const line = await subject.waitFor('keeping the certificate: the new one is unusable')
    expect(line).toMatchObject({ level: 'warn', error: { code: 'INVALID' } })
    expect(subject.changes).toStrictEqual([])
    expect(subject.watcher.current).toMatchObject(first)
    const next = await issue()
    await swapSecret(directory.path, next, 3)
    await subject.waitFor('certificate changed')
    expect(subject.watcher.current).toMatchObject(next)
  })

  test('says when the certificate has expired', async () => {
    await using directory = await temporaryDirectory()
    const notAfter = new Date(Date.now() - 1000)
    await writePair(directory.path, await authority.issue({ names: NAMES, notAfter }))
    await using subject = await watched(directory.path)
    expect(subject.lines.map(({ msg }) => msg)).toContain('the certificate has expired')
  })
})
