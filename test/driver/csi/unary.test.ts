import { PassThrough } from 'node:stream'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../../common/errors.ts'
import { createLogger } from '../../../common/log.ts'
import { loadService } from '../../../driver/csi/services.ts'
import { serveOnSocket } from '../../../driver/csi/socket-server.ts'
import { type CallContext, unary } from '../../../driver/csi/unary.ts'
import { csiClient } from '../../support/kubelet.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** A real server on a real socket whose Probe does what a test wants. */
async function serve(handler: (request: object, context: CallContext) => Promise<object>) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const destination = new PassThrough()
  const stopping = new AbortController()
  const log = createLogger({ name: 'test', level: 'debug', destination })
  stack.use(
    await serveOnSocket(directory.file('csi.sock'), [
      [
        loadService('csi.proto', 'csi.v1.Identity'),
        { Probe: unary({ log, stopping: stopping.signal }, 'Probe', handler) },
      ],
    ]),
  )
  const made = stack.move()
  return {
    stopping,
    client: csiClient(directory.file('csi.sock')),
    logged: (): string => String(destination.read() ?? ''),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

describe('errors', () => {
  test.for([
    ['INVALID', status.INVALID_ARGUMENT],
    ['NOT_FOUND', status.NOT_FOUND],
    ['UNAUTHENTICATED', status.UNAUTHENTICATED],
    ['DENIED', status.PERMISSION_DENIED],
    ['CONFLICT', status.ALREADY_EXISTS],
    ['PENDING', status.ABORTED],
    ['UNAVAILABLE', status.UNAVAILABLE],
    ['EXHAUSTED', status.RESOURCE_EXHAUSTED],
    ['CORRUPT', status.DATA_LOSS],
    ['INTERNAL', status.INTERNAL],
  ] as const)(
    '%s is answered with its status and message, and logged once',
    async ([code, expected]) => {
      await using server = await serve(async () => {
        throw new CodedError(code, `what went wrong: ${code}`)
      })
      await expect(server.client.probe()).rejects.toMatchObject({
        code: expected,
        details: `what went wrong: ${code}`,
      })
      const lines = server.logged().split('\n')
      expect(lines.filter((line) => line.includes('what went wrong')).length).toBe(1)
    },
  )

  test('a bug is answered as INTERNAL without its detail, which the log has', async () => {
    await using server = await serve(() => {
      throw new TypeError('secret detail')
    })
    await expect(server.client.probe()).rejects.toMatchObject({
      code: status.INTERNAL,
      details: 'Internal error: the log has the detail',
    })
    expect(server.logged()).toContain('secret detail')
  })

  test('the attack: bidi and control characters of an image reach neither the status nor the log', async () => {
    const message = 'Bad path "\u202Egnp.exe\u009B2J\u2028\u{E0041}"'
    await using server = await serve(async () => {
      throw new CodedError('CORRUPT', message, { cause: new CodedError('INVALID', message) })
    })
    await expect(server.client.probe()).rejects.toMatchObject({
      details: 'Bad path "\\u{202E}gnp.exe\\u{9B}2J\\u{2028}\\u{E0041}"',
    })
    const line = server.logged()
    expect(line).toMatch(/^[\x20-\x7E]+\n$/)
    const { code, message: logged, cause } = JSON.parse(line).error
    expect([code, logged, cause.message]).toStrictEqual(['CORRUPT', message, message])
  })

  test('the attack: a message of escapes alone is no longer in a status than any other', async () => {
    await using server = await serve(async () => {
      throw new CodedError('CORRUPT', '\u202E'.repeat(2_000))
    })
    await expect(server.client.probe()).rejects.toMatchObject({
      details: `${'\\u{202E}'.repeat(250)}...`,
    })
  })
})

describe('the signal of a call', () => {
  const whenAborted = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })

  test('fires before the deadline, so that the caller hears ABORTED and not DEADLINE_EXCEEDED', async () => {
    await using server = await serve((_, { signal }) => whenAborted(signal))
    await expect(server.client.probe({ deadlineMs: 5_000 })).rejects.toMatchObject({
      code: status.ABORTED,
    })
  })

  test('fires when the caller cancels', async () => {
    const { promise: reason, resolve } = Promise.withResolvers<unknown>()
    const { promise: running, resolve: run } = Promise.withResolvers<void>()
    await using server = await serve((_, { signal }) => {
      signal.addEventListener('abort', () => resolve(signal.reason))
      run()
      return whenAborted(signal)
    })
    const controller = new AbortController()
    const call = server.client.probe({ signal: controller.signal })
    const outcome = expect(call).rejects.toMatchObject({ code: status.CANCELLED })
    await running
    controller.abort()
    await outcome
    expect(await reason).toMatchObject({ code: 'PENDING', message: 'The caller gave up' })
  })

  test('fires when the driver stops', async () => {
    const { promise: running, resolve: run } = Promise.withResolvers<void>()
    await using server = await serve((_, { signal }) => {
      run()
      return whenAborted(signal)
    })
    const call = server.client.probe()
    const outcome = expect(call).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: 'The driver is stopping; call again',
    })
    await running
    server.stopping.abort()
    await outcome
  })
})

describe('the socket', () => {
  test.for([
    ['/tmp/x', 'Invalid socket "/tmp/x": expected a name that ends in ".sock"'],
    [`/tmp/${'x'.repeat(110)}.sock`, 'is longer than the 107 bytes of a unix socket'],
  ] as const)('%s is refused', async ([path, message]) => {
    await expect(serveOnSocket(path, [])).rejects.toThrow(message)
  })

  test('is not removed when another server has taken its place', async () => {
    await using directory = await temporaryDirectory()
    const path = directory.file('csi.sock')
    const first = await serveOnSocket(path, [])
    await using _ = await serveOnSocket(path, [
      [
        loadService('csi.proto', 'csi.v1.Identity'),
        {
          Probe: unary(
            {
              log: createLogger({ name: 'x', level: 'silent' }),
              stopping: new AbortController().signal,
            },
            'Probe',
            async () => ({ ready: { value: true } }),
          ),
        },
      ],
    ])
    await first[Symbol.asyncDispose]()
    expect(await csiClient(path).probe()).toEqual({ ready: { value: true } })
  })
})
