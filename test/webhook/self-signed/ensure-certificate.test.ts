import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openApiClient } from '../../../common/kubernetes/api-client.ts'
import { isJsonObject, type JsonObject, objectAt, objectsAt } from '../../../webhook/json.ts'
import { createClusterApi } from '../../../webhook/self-signed/cluster-api.ts'
import {
  type CertificateWish,
  ensureCertificate,
} from '../../../webhook/self-signed/ensure-certificate.ts'
import { makeServingCertificate } from '../../../webhook/self-signed/serving-certificate.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { startProcess } from '../../support/process.ts'
import { type ObjectServer, startObjectServer } from './object-server.ts'

const DAY_MS = 86_400_000
const NAME = 'webhook.apart.svc'
const WISH: CertificateWish = {
  namespace: 'apart',
  secret: 'pair',
  service: 'webhook',
  configuration: 'ours',
  validForMs: 365 * DAY_MS,
  renewBeforeMs: 90 * DAY_MS,
}
const SECRET = '/api/v1/namespaces/apart/secrets/pair'
const MUTATING = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/ours'
const VALIDATING = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/ours'

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** What a cluster holds after the manifests were applied; `data` of the secret. */
function installed(data?: Readonly<Record<string, string>>): Record<string, JsonObject> {
  const webhook = (name: string) => ({ name, clientConfig: { service: { name: 'webhook' } } })
  const encoded =
    data && Object.fromEntries(Object.entries(data).map(([key, text]) => [key, base64(text)]))
  return {
    [SECRET]: {
      kind: 'Secret',
      metadata: { name: 'pair', resourceVersion: '7' },
      ...(encoded && { data: encoded }),
    },
    [MUTATING]: { metadata: { name: 'ours' }, webhooks: [webhook('mutate'), webhook('other')] },
    [VALIDATING]: { metadata: { name: 'ours' }, webhooks: [webhook('validate')] },
  }
}

/** A secret's content as an earlier run left it. */
function heldSecret(options: { readonly days: number; readonly dnsName?: string }) {
  const { cert, key, authority } = makeServingCertificate({
    dnsNames: [options.dnsName ?? NAME],
    validForMs: options.days * DAY_MS,
  })
  return { 'tls.crt': cert, 'tls.key': key, 'ca.crt': authority }
}

async function ensure(server: ObjectServer) {
  await using client = openApiClient({ account: server.account })
  const api = createClusterApi(client, new AbortController().signal)
  return await ensureCertificate(api, WISH)
}

function dataOf(server: ObjectServer): Record<string, string> {
  const data = objectAt(server.objects.get(SECRET), 'data') ?? {}
  return Object.fromEntries(
    Object.entries(data).map(([key, text]) => [
      key,
      Buffer.from(String(text), 'base64').toString(),
    ]),
  )
}

/** What the API server trusts, once for each webhook. */
function trusted(server: ObjectServer): readonly string[] {
  return [MUTATING, VALIDATING].flatMap((path) =>
    objectsAt(server.objects.get(path), 'webhooks').map(({ clientConfig }) => {
      expect(clientConfig).toHaveProperty('service', { name: 'webhook' })
      const bundle = isJsonObject(clientConfig) ? clientConfig['caBundle'] : undefined
      return Buffer.from(String(bundle ?? ''), 'base64').toString()
    }),
  )
}

describe('the certificate', () => {
  test('is made where there is none, and trusted by every webhook before it is used', async () => {
    await using server = await startObjectServer(installed())
    const outcome = await ensure(server)
    expect(outcome).toEqual({ renewed: true, why: 'there was none', expires: expect.any(Date) })
    const data = dataOf(server)
    expect(Object.keys(data)).toEqual(['tls.crt', 'tls.key', 'ca.crt'])
    expect(trusted(server)).toEqual([data['ca.crt'], data['ca.crt'], data['ca.crt']])
    expect(server.calls.filter((call) => call.startsWith('PATCH'))).toEqual([
      `PATCH ${MUTATING}`,
      `PATCH ${VALIDATING}`,
      `PATCH ${SECRET}`,
    ])
  })

  test('is kept while it is good, and nothing is written', async () => {
    await using server = await startObjectServer(installed())
    const made = await ensure(server)
    const before = dataOf(server)
    server.before = (call) => {
      if (call.startsWith('PATCH')) throw new Error(call)
    }
    expect(await ensure(server)).toEqual({ renewed: false, expires: made.expires })
    expect(dataOf(server)).toEqual(before)
  })

  test('is trusted again where a configuration was applied anew', async () => {
    const held = heldSecret({ days: 365 })
    await using server = await startObjectServer(installed(held))
    expect(await ensure(server)).toMatchObject({ renewed: false })
    expect(trusted(server)).toEqual([held['ca.crt'], held['ca.crt'], held['ca.crt']])
  })

  test('is renewed in time, and the old one is trusted until the next time', async () => {
    const held = heldSecret({ days: 89 })
    await using server = await startObjectServer(installed(held))
    const outcome = await ensure(server)
    expect(outcome.why).toMatch(/^it ends \d{4}-/)
    const authorities = dataOf(server)['ca.crt'] ?? ''
    expect(authorities.split(/(?<=-----END CERTIFICATE-----\n)/)).toEqual([
      expect.any(String),
      held['ca.crt'],
    ])
    expect(trusted(server)).toEqual([authorities, authorities, authorities])
    expect(dataOf(server)['tls.crt']).not.toBe(held['tls.crt'])
  })

  test.each([
    {
      what: 'for another name',
      data: heldSecret({ days: 365, dnsName: 'webhook.other.svc' }),
      why: 'it was not for webhook.apart.svc',
      keeps: 1,
    },
    {
      what: "with another's key",
      data: { ...heldSecret({ days: 365 }), 'tls.key': heldSecret({ days: 365 })['tls.key'] },
      why: 'its key was not its key',
      keeps: 1,
    },
    {
      what: "with another's authority",
      data: { ...heldSecret({ days: 365 }), 'ca.crt': heldSecret({ days: 365 })['ca.crt'] },
      why: 'its authority was not its authority',
      keeps: 1,
    },
    {
      what: 'that is none',
      data: { 'tls.crt': 'x', 'tls.key': 'y', 'ca.crt': 'z' },
      why: 'the secret holds no certificates',
      keeps: 0,
    },
    {
      what: 'of an authority that is none',
      data: {
        ...heldSecret({ days: 365 }),
        'ca.crt': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      },
      why: 'the secret holds no certificates',
      keeps: 0,
    },
    {
      what: 'that has ended, with its authority',
      data: heldSecret({ days: -1 }),
      why: expect.stringMatching(/^it ends /),
      keeps: 0,
    },
  ])('is replaced when the secret has one $what', async ({ data, why, keeps }) => {
    await using server = await startObjectServer(installed(data))
    expect(await ensure(server)).toMatchObject({ renewed: true, why })
    const authorities = dataOf(server)['ca.crt']?.match(/BEGIN CERTIFICATE/g)
    expect(authorities).toHaveLength(1 + keeps)
  })

  test('of whoever writes it first stays, and both are done again', async () => {
    await using server = await startObjectServer(installed())
    const winner = heldSecret({ days: 365 })
    server.before = (call) => {
      if (call !== `PATCH ${SECRET}`) return
      server.before = () => {}
      server.objects.set(SECRET, {
        ...installed(winner)[SECRET],
        metadata: { resourceVersion: '8' },
      })
    }
    await expect(ensure(server)).rejects.toThrow(
      expect.objectContaining({
        code: 'CONFLICT',
        message: `Cannot change "${SECRET}": the API server answered 409: the object has been modified`,
      }),
    )
    expect(await ensure(server)).toMatchObject({ renewed: false })
    expect(trusted(server)).toEqual([winner['ca.crt'], winner['ca.crt'], winner['ca.crt']])
  })

  test('is not made when the API server cannot be told whom to trust', async () => {
    const objects = installed()
    delete objects[VALIDATING]
    await using server = await startObjectServer(objects)
    await expect(ensure(server)).rejects.toThrow(
      expect.objectContaining({
        code: 'NOT_FOUND',
        message: `Cannot read "${VALIDATING}": the API server answered 404: ${VALIDATING} not found`,
      }),
    )
    expect(dataOf(server)).toEqual({})
  })

  test('is asked for with a token, from an API server that shows its own certificate', async () => {
    await using server = await startObjectServer(installed())
    const { cert } = await createCertificateAuthority()
    const failing = async (name: string, content: string) => {
      await writeFile(join(server.account.directory, name), content)
      return await ensure(server).catch((error: unknown) => error)
    }
    expect(await failing('token', 'x')).toMatchObject({
      code: 'DENIED',
      message: `Cannot read "${SECRET}": the API server answered 401: Unauthorized`,
    })
    expect(await failing('ca.crt', cert)).toMatchObject({ code: 'UNAVAILABLE' })
  })
})

describe('the program', () => {
  const FLAGS = ['--namespace=apart', '--secret=pair', '--service=webhook', '--configuration=ours']

  /** Runs it as its Job does, with what Kubernetes mounts for its account. */
  async function runProgram(
    server: ObjectServer,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ) {
    const { directory, url } = server.account
    const { hostname, port } = new URL(url)
    await using program = startProcess({
      args: ['webhook/self-signed/main.ts', ...FLAGS, `--account-directory=${directory}`, ...args],
      env: { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port, ...env },
    })
    return { exit: await program.exited, lines: program.lines, output: program.output() }
  }

  test('makes a certificate, keeps it the next time, and says until when it is good', async () => {
    await using server = await startObjectServer(installed())
    const first = await runProgram(server)
    const second = await runProgram(server)
    expect([first.exit.code, second.exit.code], first.output + second.output).toEqual([0, 0])
    expect(first.lines.map(({ json }) => json)).toEqual([
      expect.objectContaining({
        msg: 'certificate made',
        secret: 'pair',
        why: 'there was none',
        expires: expect.any(String),
      }),
    ])
    expect(second.lines.map(({ json }) => json)).toEqual([
      expect.objectContaining({
        msg: 'certificate kept',
        expires: first.lines[0]?.json?.['expires'],
      }),
    ])
    expect(first.output + second.output).not.toContain('PRIVATE KEY')
  })

  test('asks the API server that it is told of, whatever Kubernetes says', async () => {
    await using server = await startObjectServer(installed())
    const env = { KUBERNETES_SERVICE_HOST: '', KUBERNETES_SERVICE_PORT: '' }
    const told = await runProgram(server, [`--api-server=${server.account.url}`], env)
    expect([told.exit.code, told.lines.map(({ json }) => json?.['msg'])]).toEqual([
      0,
      ['certificate made'],
    ])
    const untold = await runProgram(server, [], env)
    expect([untold.exit.code, untold.lines.map(({ json }) => json?.['error'])]).toEqual([
      1,
      [
        {
          code: 'NOT_FOUND',
          message:
            'Not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set',
        },
      ],
    ])
  })

  test('fails so that its Job is tried again, and says why', async () => {
    await using server = await startObjectServer({})
    const { exit, lines } = await runProgram(server)
    expect(exit.code).toBe(1)
    expect(lines.map(({ json }) => json)).toEqual([
      expect.objectContaining({
        level: 'error',
        msg: 'certificate not ensured',
        error: {
          code: 'NOT_FOUND',
          message: `Cannot read "${SECRET}": the API server answered 404: ${SECRET} not found`,
        },
      }),
    ])
  })

  test.each([
    {
      args: ['--renew-before=8760h'],
      says: 'Invalid --renew-before: expected less than --valid-for',
    },
    {
      args: ['--secrt=x'],
      says: 'Unknown flag "--secrt"; did you mean "secret"? (--help lists them)',
    },
  ])('refuses $args', async ({ args, says }) => {
    await using server = await startObjectServer(installed())
    const { exit, lines } = await runProgram(server, args)
    expect([exit.code, lines.map(({ text }) => text)]).toEqual([2, [says]])
    expect(server.calls).toEqual([])
  })
})
