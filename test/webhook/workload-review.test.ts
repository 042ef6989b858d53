import { describe, expect, test } from 'vitest'
import { createLogger } from '../../common/log.ts'
import { parsePolicy } from '../../common/policy/parse-policy.ts'
import { createAdmissionPolicy } from '../../webhook/admission-policy.ts'
import { reviewPod } from '../../webhook/review.ts'
import type { ReviewDependencies } from '../../webhook/told-review.ts'
import { reviewWorkload } from '../../webhook/workload-review.ts'
import {
  controllerMadePod,
  podReview,
  type ReviewOptions,
  type WORKLOADS,
  workloadReview,
} from '../support/admission-review.ts'

const KEY = 'oras.land/artifacts'
const GOOD = { [KEY]: '/app: ghcr.io/acme/app:v1' }
const BAD = { [KEY]: '/app: x' }
const WHY = `Invalid ${KEY}["/app"] (line 1, column 7): invalid reference "x": no registry, and neither tag nor digest; expected registry/repository:tag, e.g. "docker.io/library/x:latest"`

type Annotations = Readonly<Record<string, string>>
type Kind = keyof typeof WORKLOADS

const podTemplate = (annotations: Annotations, podSpec: object = {}) => ({
  metadata: { creationTimestamp: null, labels: { app: 'web' }, annotations },
  spec: { containers: [{ name: 'java', image: 'x' }], ...podSpec },
})

/** A workload as the API server sends it. */
function workload(kind: Kind, template: object, metadata: object = {}, jobMetadata: object = {}) {
  const spec = { selector: { matchLabels: { app: 'web' } }, template }
  return {
    kind,
    apiVersion: kind.endsWith('Job') ? 'batch/v1' : 'apps/v1',
    metadata: { name: 'web', namespace: 'default', creationTimestamp: null, ...metadata },
    spec:
      kind === 'CronJob'
        ? { schedule: '@daily', jobTemplate: { metadata: jobMetadata, spec } }
        : spec,
    status: {},
  }
}

const KINDS: Kind[] = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'CronJob']
const whereOf = (kind: Kind) =>
  kind === 'CronJob' ? 'spec.jobTemplate.spec.template' : 'spec.template'

function answered(
  answer: typeof reviewWorkload,
  document: unknown,
  extras: Partial<ReviewDependencies> = {},
) {
  const lines: string[] = []
  const log = createLogger({
    name: 'test',
    level: 'info',
    destination: { write: (line: string) => lines.push(line) },
  })
  let time = 0
  const { status, body } = answer(document, { log, now: () => (time += 2), ...extras })
  expect(lines).toHaveLength(1)
  const { time: _time, name: _name, ...line } = JSON.parse(lines[0] ?? '')
  return { status, response: body['response'], body, line }
}

const asked = (
  kind: Kind,
  object: object,
  options: ReviewOptions = {},
  extras: Partial<ReviewDependencies> = {},
) => answered(reviewWorkload, workloadReview(kind, object, { uid: 'u', ...options }), extras)

describe('reviewWorkload', () => {
  test.each(KINDS)('allows a good template of a %s, and changes nothing', (kind) => {
    const { status, response, line } = asked(kind, workload(kind, podTemplate(GOOD)))
    expect(status).toBe(200)
    expect(response).toStrictEqual({
      uid: 'u',
      allowed: true,
      auditAnnotations: { artifacts: '/app=ghcr.io/acme/app:v1' },
    })
    expect(line).toStrictEqual({
      level: 'info',
      path: '/validate-workload',
      uid: 'u',
      namespace: 'default',
      owner: `${kind}/web`,
      result: 'allowed',
      ms: 2,
      msg: 'review',
    })
  })

  test.each(KINDS)(
    'denies a %s in the words that its pods would be denied in, and says where',
    (kind) => {
      const { response, line } = asked(kind, workload(kind, podTemplate(BAD)))
      const message = `${whereOf(kind)}: ${WHY}`
      expect(response).toStrictEqual({
        uid: 'u',
        allowed: false,
        status: { status: 'Failure', message, reason: 'Invalid', code: 422 },
        auditAnnotations: { denied: expect.stringMatching(/^INVALID: spec\..{1,247}$/) },
      })
      expect(line).toMatchObject({ result: 'denied', code: 'INVALID', reason: message })
      const pod = controllerMadePod({ annotations: BAD, spec: podTemplate(BAD).spec })
      expect(answered(reviewPod, podReview(pod)).response).toMatchObject({
        status: { message: WHY },
      })
    },
  )

  test('tells everything that is wrong at once', () => {
    const annotations = { [KEY]: '/app: x\n/lib: y', 'oras.land/pull-polcy': 'Always' }
    const { response } = asked('Deployment', workload('Deployment', podTemplate(annotations)))
    expect(response).toMatchObject({
      status: {
        message: expect.stringMatching(
          /^spec\.template: Unknown annotation .*; also: Invalid .*\["\/app"\].*; also: Invalid .*\["\/lib"\]/,
        ),
      },
    })
  })

  test.each<[string, ReviewOptions]>([
    ['a status', { operation: 'UPDATE', subResource: 'status' }],
    ['a scale', { operation: 'UPDATE', subResource: 'scale' }],
    ['a deletion', { operation: 'DELETE' }],
  ])('passes over %s', (_name, options) => {
    const { response, line } = asked(
      'Deployment',
      workload('Deployment', podTemplate(BAD)),
      options,
    )
    expect(response).toStrictEqual({ uid: 'u', allowed: true })
    expect(line.reason).toMatch(/^passed over: /)
  })

  test.each(KINDS)('lets through an update of a %s that leaves a bad template as it is', (kind) => {
    const { response } = asked(kind, workload(kind, podTemplate(BAD), { labels: { a: 'b' } }), {
      operation: 'UPDATE',
      oldObject: workload(kind, podTemplate(BAD)),
    })
    expect(response).toStrictEqual({ uid: 'u', allowed: true })
  })

  test('denies an update that changes a bad template', () => {
    const { response } = asked('Deployment', workload('Deployment', podTemplate(BAD)), {
      operation: 'UPDATE',
      oldObject: workload('Deployment', podTemplate(GOOD)),
    })
    expect(response).toMatchObject({ allowed: false })
  })

  test('lets go of a bad workload that is being deleted', () => {
    const object = workload('Job', podTemplate(BAD), { deletionTimestamp: '2026-01-01T00:00:00Z' })
    const { response } = asked('Job', object, {
      operation: 'UPDATE',
      oldObject: workload('Job', podTemplate(GOOD)),
    })
    expect(response).toStrictEqual({ uid: 'u', allowed: true })
  })

  test.each<[string, Kind, object, string]>([
    [
      'a Deployment',
      'Deployment',
      workload('Deployment', podTemplate({}), { annotations: GOOD }),
      `${KEY} has no effect on a Deployment; move it to spec.template.metadata.annotations`,
    ],
    [
      'a CronJob',
      'CronJob',
      workload('CronJob', podTemplate({}), { annotations: GOOD }),
      `${KEY} has no effect on a CronJob; move it to spec.jobTemplate.spec.template.metadata.annotations`,
    ],
    [
      'the Job of a CronJob',
      'CronJob',
      workload('CronJob', podTemplate({}), {}, { annotations: GOOD }),
      `${KEY} has no effect on a Job; move it to spec.jobTemplate.spec.template.metadata.annotations`,
    ],
  ])('says where to move an annotation that stands on %s', (_name, kind, object, warning) => {
    expect(warning.length).toBeLessThanOrEqual(120)
    const { response } = asked(kind, object)
    expect(response).toStrictEqual({ uid: 'u', allowed: true, warnings: [warning] })
  })

  test('says so when an update puts it there, and not again with the next one', () => {
    const before = workload('Deployment', podTemplate({}))
    const after = workload('Deployment', podTemplate({}), { annotations: GOOD })
    const first = asked('Deployment', after, { operation: 'UPDATE', oldObject: before })
    expect(first.response).toMatchObject({ warnings: [expect.stringContaining('has no effect')] })
    const second = asked('Deployment', after, { operation: 'UPDATE', oldObject: after })
    expect(second.response).toStrictEqual({ uid: 'u', allowed: true })
  })

  test("keeps still about a ReplicaSet that has its Deployment's annotations", () => {
    const object = workload('ReplicaSet', podTemplate({}), {
      annotations: GOOD,
      ownerReferences: [{ kind: 'Deployment', name: 'web', controller: true }],
    })
    const { response, line } = asked('ReplicaSet', object)
    expect(response).toStrictEqual({ uid: 'u', allowed: true })
    expect(line.owner).toBe('Deployment/web')
  })

  test('warns of a tag that moves, and of a value that is kept', () => {
    const annotations = {
      [KEY]: JSON.stringify([
        {
          ...{ reference: 'ghcr.io/acme/app:latest', mountPath: '/app' },
          env: [{ name: 'APP_HOME', value: '/app' }],
        },
      ]),
    }
    const template = podTemplate(annotations, {
      containers: [{ name: 'java', image: 'x', env: [{ name: 'APP_HOME', value: '/opt' }] }],
    })
    const { response } = asked('Deployment', workload('Deployment', template))
    expect(response).toMatchObject({
      allowed: true,
      warnings: [expect.stringContaining('latest'), expect.stringContaining('APP_HOME')],
    })
  })

  test("holds the template against the admin's policy, in the request's namespace", () => {
    const text = `apiVersion: csi.oras.land/v1alpha1
kind: Policy
rules:
- {name: shops, namespaces: ["shop-*"], references: ["ghcr.io/acme/*"], effect: allow}
default: deny
`
    const policy = createAdmissionPolicy({
      current: () => parsePolicy(text),
      observer: { denied: () => undefined },
    })
    const object = workload('Deployment', podTemplate(GOOD))
    const ask = (namespace: string) =>
      asked('Deployment', object, { namespace }, { policy }).response
    expect(ask('shop-eu')).toMatchObject({ allowed: true })
    expect(ask('bank')).toMatchObject({
      allowed: false,
      status: {
        code: 403,
        reason: 'Forbidden',
        message:
          'spec.template: Cannot use "ghcr.io/acme/app:v1" in namespace "bank": no rule of the admin\'s policy allows it; nothing is allowed there',
      },
    })
  })

  test.each<[string, object]>([
    ['another kind', { group: 'apps', version: 'v1', kind: 'Rollout' }],
    ['another version', { group: 'apps', version: 'v1beta2', kind: 'Deployment' }],
    ['a pod', { group: '', version: 'v1', kind: 'Pod' }],
  ])('allows %s, with a warning', (_name, kind) => {
    const review = workloadReview('Deployment', workload('Deployment', podTemplate(BAD)))
    const { status, response } = answered(reviewWorkload, {
      ...review,
      request: { ...review.request, kind },
    })
    expect(status).toBe(200)
    expect(response).toMatchObject({
      allowed: true,
      warnings: [
        expect.stringMatching(/^oras-csi knows no workload ".*", and has not looked at it$/),
      ],
    })
  })

  test.each([null, 'text', 7, [], {}])(
    'leaves a template that is %j to the API server',
    (template) => {
      const object = { ...workload('Deployment', {}), spec: { template } }
      expect(asked('Deployment', object).response).toStrictEqual({ uid: 'u', allowed: true })
    },
  )

  test('answers 500, which is no verdict, to a template nested so deep that it cannot be walked', () => {
    const nested = (depth: number) => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)
    const { status, line } = asked('Deployment', workload('Deployment', nested(200_000)), {
      operation: 'UPDATE',
      oldObject: workload('Deployment', nested(200_000)),
    })
    expect(status).toBe(500)
    expect(line).toMatchObject({ level: 'error', result: 'error', code: 'INTERNAL' })
  })

  test('logs a dry run as one, and names as they are', () => {
    const object = workload('Deployment', podTemplate({}), { name: 'web\u202E\n{}' })
    const { line } = asked('Deployment', object, { dryRun: true })
    expect(line).toMatchObject({ owner: 'Deployment/web\\u{202E}\\u{A}{}', dryRun: true })
  })
})
