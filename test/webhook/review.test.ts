import { describe, expect, test } from 'vitest'
import { createLogger } from '../../common/log.ts'
import { reviewPod } from '../../webhook/review.ts'
import { VERDICTS } from '../../webhook/verdict.ts'
import { controllerMadePod, namedPod, podReview } from '../support/admission-review.ts'
import { patched } from '../support/api-server.ts'

const KEY = 'oras.land/artifacts'
const spec = { containers: [{ name: 'java', image: 'x' }] }
const annotated = (artifacts: string) => ({ annotations: { [KEY]: artifacts }, spec })
const ANNOTATED = controllerMadePod(annotated('/app: ghcr.io/acme/app:v1'))

const silent = createLogger({ name: 'test', level: 'silent' })

function review(document: unknown) {
  const lines: string[] = []
  const log = createLogger({
    name: 'test',
    level: 'info',
    destination: { write: (line: string) => lines.push(line) },
  })
  let time = 0
  const answer = reviewPod(document, { log, now: () => (time += 2) })
  expect(lines).toHaveLength(1)
  const { time: _time, name: _name, ...line } = JSON.parse(lines[0] ?? '')
  return { ...answer, line }
}

describe('reviewPod', () => {
  test('answers with a patch that makes the composed pod', () => {
    const question = podReview(ANNOTATED, { uid: 'u-1', namespace: 'shop' })
    const { status, body, line } = review(question)
    expect({ status, body, line }).toStrictEqual({
      status: 200,
      body: {
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        response: {
          uid: 'u-1',
          allowed: true,
          patchType: 'JSONPatch',
          patch: expect.any(String),
          auditAnnotations: { artifacts: '/app=ghcr.io/acme/app:v1' },
        },
      },
      line: {
        level: 'info',
        path: '/mutate',
        uid: 'u-1',
        namespace: 'shop',
        owner: 'ReplicaSet/app-5d89bdfbc9',
        result: 'patched',
        ms: 2,
        msg: 'review',
      },
    })
    const response = body['response'] as { uid: string; allowed: boolean; patch: string }
    expect(patched(ANNOTATED, response)).toMatchObject({
      metadata: { annotations: { 'oras.land/status': expect.stringContaining('"oras-app"') } },
      spec: {
        containers: [
          {
            name: 'java',
            image: 'x',
            volumeMounts: [{ name: 'oras-app', mountPath: '/app', readOnly: true }],
          },
        ],
        volumes: [{ name: 'oras-app' }],
      },
    })
    expect(JSON.parse(Buffer.from(response.patch, 'base64').toString())).toContainEqual({
      op: 'add',
      path: '/metadata/annotations/oras.land~1status',
      value: expect.any(String),
    })
  })

  test('leaves patch and patchType away where there is nothing to do', () => {
    const { body, line } = review(podReview(namedPod('web', { spec }), { uid: 'u-2' }))
    expect(body['response']).toStrictEqual({ uid: 'u-2', allowed: true })
    expect(line).toStrictEqual({
      level: 'info',
      path: '/mutate',
      uid: 'u-2',
      namespace: 'default',
      owner: 'Pod/web',
      result: 'allowed',
      ms: 2,
      msg: 'review',
    })
  })

  test('does nothing on reinvocation with its own output', () => {
    const first = review(podReview(ANNOTATED)).body['response'] as {
      uid: string
      allowed: boolean
      patch: string
    }
    const second = review(podReview(patched(ANNOTATED, first) as object, { uid: 'u-3' }))
    // The audit annotation is that of the first call: the API server would complain about another.
    expect(second.body['response']).toStrictEqual({
      uid: 'u-3',
      allowed: true,
      auditAnnotations: { artifacts: '/app=ghcr.io/acme/app:v1' },
    })
  })

  test('gives a container that a later webhook added its mounts, on reinvocation', () => {
    const first = review(podReview(ANNOTATED)).body['response'] as { patch: string }
    const once = patched(ANNOTATED, { uid: '', allowed: true, patch: first.patch })
    const added = structuredClone(once) as { spec: { containers: object[] } }
    added.spec.containers.push({ name: 'agent', image: 'y' })
    const second = review(podReview(added)).body['response'] as { patch: string }
    const twice = patched(added, { uid: '', allowed: true, patch: second.patch })
    const mounts = [{ name: 'oras-app', mountPath: '/app', readOnly: true }]
    expect(twice).toMatchObject({
      spec: {
        containers: [
          { name: 'java', volumeMounts: mounts },
          { name: 'agent', volumeMounts: mounts },
        ],
      },
    })
  })

  test('answers a dry run as any other, and logs it as one', () => {
    const { body, line } = review(podReview(ANNOTATED, { dryRun: true }))
    expect(body['response']).toMatchObject({ allowed: true, patchType: 'JSONPatch' })
    expect(line.dryRun).toBe(true)
  })

  test("asks the policy about the request's namespace: a controller's pod has none yet", () => {
    const asked: unknown[] = []
    const check = (_: unknown, namespace: string | undefined) => asked.push(namespace)
    const namespaces = ['', undefined].map((namespace) => ({
      ...ANNOTATED,
      metadata: { ...Reflect.get(ANNOTATED, 'metadata'), namespace },
    }))
    for (const pod of namespaces) {
      reviewPod(podReview(pod, { namespace: 'shop' }), { log: silent, policy: { check } })
    }
    expect(asked).toStrictEqual(['shop', 'shop'])
  })

  test('passes warnings on', () => {
    const { body } = review(podReview(controllerMadePod(annotated('/app: acme/app:v1'))))
    expect(body['response']).toMatchObject({
      allowed: true,
      warnings: ['"acme" in "acme/app:v1" is a host; "docker.io/acme/app:v1" may be meant'],
    })
  })

  test('denies with 422 what the annotation gets wrong', () => {
    const { status, body, line } = review(
      podReview(controllerMadePod(annotated('/app: x')), { uid: 'u-4' }),
    )
    const message = `Invalid ${KEY}["/app"] (line 1, column 7): invalid reference "x": no registry, and neither tag nor digest; expected registry/repository:tag, e.g. "docker.io/library/x:latest"`
    expect(status).toBe(200)
    expect(body['response']).toStrictEqual({
      uid: 'u-4',
      allowed: false,
      status: { status: 'Failure', message, reason: 'Invalid', code: 422 },
      auditAnnotations: { denied: `INVALID: ${message}` },
    })
    expect(line).toMatchObject({
      level: 'info',
      result: 'denied',
      code: 'INVALID',
      reason: message,
    })
  })

  test('denies with 409 a volume of our name with other content', () => {
    const pod = controllerMadePod({
      annotations: { [KEY]: '/app: ghcr.io/acme/app:v1' },
      spec: { ...spec, volumes: [{ name: 'oras-app', emptyDir: {} }] },
    })
    expect(review(podReview(pod)).body['response']).toMatchObject({
      allowed: false,
      status: { code: 409, reason: 'Conflict' },
    })
  })

  test.each([
    ['an update', { operation: 'UPDATE' }, 'UPDATE'],
    ['a deletion, which has no object', { operation: 'DELETE' }, 'DELETE'],
    ['an eviction', { subResource: 'eviction' }, 'CREATE of eviction'],
    [
      'an ephemeral container',
      { operation: 'UPDATE', subResource: 'ephemeralcontainers' },
      'UPDATE of ephemeralcontainers',
    ],
  ] as const)('passes over %s', (_name, options, what) => {
    const { body, line } = review(podReview(ANNOTATED, { uid: 'u-5', ...options }))
    expect(body['response']).toStrictEqual({ uid: 'u-5', allowed: true })
    expect(line).toMatchObject({ result: 'allowed', reason: `passed over: ${what}` })
  })

  test.each<[string, unknown, string]>([
    ['no object', [], 'Cannot read the admission review: the body is not a JSON object'],
    ['nothing', undefined, 'Cannot read the admission review: the body is not a JSON object'],
    [
      'another version',
      { ...podReview(ANNOTATED), apiVersion: 'admission.k8s.io/v1beta1' },
      'Cannot read the admission review: "apiVersion" is "admission.k8s.io/v1beta1"; expected "admission.k8s.io/v1"',
    ],
    [
      'another kind',
      { ...podReview(ANNOTATED), kind: 'Pod' },
      'Cannot read the admission review: "kind" is "Pod"; expected "AdmissionReview"',
    ],
    [
      'no uid',
      podReview(ANNOTATED, { uid: '' }),
      'Cannot read the admission review: "request.uid" is missing',
    ],
    [
      'something else than a pod',
      {
        ...podReview(ANNOTATED),
        request: {
          ...podReview(ANNOTATED).request,
          kind: { group: 'apps', version: 'v1', kind: 'Deployment' },
        },
      },
      'Expected a v1 Pod, found apps/v1 Deployment',
    ],
  ])('answers 400, which is no verdict, to %s', (_name, document, message) => {
    const { status, body, line } = review(document)
    expect({ status, body }).toStrictEqual({ status: 400, body: { message } })
    expect(line).toMatchObject({ level: 'error', result: 'error' })
  })

  test('answers 500 to a bug, and tells the log alone what it was', () => {
    const question = podReview(ANNOTATED)
    const object = {
      metadata: { annotations: { [KEY]: '/app: ghcr.io/acme/app:v1' } },
      get spec(): never {
        throw new TypeError('secret detail')
      },
    }
    const { status, body, line } = review({
      ...question,
      request: { ...question.request, object },
    })
    expect({ status, body }).toStrictEqual({
      status: 500,
      body: { message: 'Internal error: the log has the detail' },
    })
    expect(line).toMatchObject({
      level: 'error',
      result: 'error',
      error: { code: 'INTERNAL', cause: { message: 'secret detail' } },
    })
  })
})

test('each error code has the verdict that the design gives it', () => {
  expect(VERDICTS).toStrictEqual({
    INVALID: { kind: 'denial', status: 422, reason: 'Invalid' },
    NOT_FOUND: { kind: 'denial', status: 422, reason: 'Invalid' },
    UNAUTHENTICATED: { kind: 'denial', status: 403, reason: 'Forbidden' },
    DENIED: { kind: 'denial', status: 403, reason: 'Forbidden' },
    CONFLICT: { kind: 'denial', status: 409, reason: 'Conflict' },
    PENDING: { kind: 'failure', status: 503 },
    UNAVAILABLE: { kind: 'failure', status: 503 },
    EXHAUSTED: { kind: 'failure', status: 503 },
    CORRUPT: { kind: 'failure', status: 502 },
    INTERNAL: { kind: 'failure', status: 500 },
  })
})
