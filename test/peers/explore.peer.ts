import { writeFile } from 'node:fs/promises'
import { test } from 'vitest'
import { poll } from '../support/poll.ts'
import { startControllers } from './controllers.ts'
import { startKubernetesApi } from './kubernetes-api.ts'
import { configured, startOtherWebhook, startRealWebhook } from './webhooks.ts'
const annotations = { 'oras.land/artifacts': '/app: ghcr.io/acme/app:v1' }
const spec = { containers: [{ name: 'main', image: 'busybox' }] }
const pod = (name: string, more: object = {}) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, annotations }, spec: {...spec, ...more} })
const template = { metadata: { labels: { app: 'a' }, annotations }, spec }
const jt = { metadata: { labels: { app: 'j' }, annotations }, spec: { ...spec, restartPolicy: 'Never' } }
test('explore', { timeout: 590_000 }, async () => {
  await using api = await startKubernetesApi()
  const k = api.kubectl
  const out: string[] = []
  const say = async (what: string, f: () => Promise<unknown>) => {
    const r = await f().catch((e) => `ERR ${e.message}`)
    out.push(`--- ${what}\n${typeof r === 'string' ? r : JSON.stringify(r, undefined, 1)}`)
    await writeFile('/tmp/J-explore.txt', out.join('\n'))
  }
  await k.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }])
  const shop = k.in('shop')
  await using rec = await startOtherWebhook()
  await using _r = await configured(api, 'MutatingWebhookConfiguration', rec, 'aa-recorder')
  await using _v = await configured(api, 'ValidatingWebhookConfiguration', rec, 'aa-recorder')
  await poll(async () => { await shop.dryRun(JSON.stringify(pod('x'))); return rec.seen.length > 0 }, { deadlineMs: 60000, what: 'called' })
  rec.answer(() => [])
  await using ctl = await startControllers(api)
  await shop.apply([pod('named')])
  await shop.apply([
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { selector: { matchLabels: { app: 'a' } }, template } },
    { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 's' }, spec: { serviceName: 's', selector: { matchLabels: { app: 'a' } }, template } },
    { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'j' }, spec: { completions: 2, parallelism: 2, completionMode: 'Indexed', template: jt } },
    { apiVersion: 'batch/v1', kind: 'CronJob', metadata: { name: 'c' }, spec: { schedule: '0 0 1 1 *', jobTemplate: { spec: { template: jt } } } },
  ])
  await shop.run('create', 'job', 'cc', '--from=cronjob/c')
  await poll(() => rec.seen.length >= 13, { deadlineMs: 60000, what: 'all' }).catch(e => out.push(e.message, ctl.output().slice(-3000)))
  await say('seen', async () => rec.seen)
  await say('ephemeral', async () => { rec.answer(() => []); const o = await shop.run('debug', 'named', '--image=busybox', '--container=dbg', '--', 'sleep', '1'); return [o, rec.seen.length, (await shop.get('pod', 'named')).spec.ephemeralContainers] })
  await _r[Symbol.asyncDispose](); 
  await using real = await startRealWebhook()
  await using _m = await configured(api, 'MutatingWebhookConfiguration', real)
  await poll(() => shop.run('get', 'pods'), { deadlineMs: 1000, what: 'x' })
  await poll(async () => { await shop.dryRun(JSON.stringify(pod('x'))); return real.reviews().length > 0 }, { deadlineMs: 60000, what: 'called' })
  await writeFile('/tmp/J-pod.json', JSON.stringify(pod('ssa')))
  await writeFile('/tmp/J-dep.json', JSON.stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'ssa' }, spec: { selector: { matchLabels: { app: 'a' } }, template } }))
  for (const f of ['/tmp/J-pod.json', '/tmp/J-dep.json']) {
    await say(`ssa ${f}`, () => shop.run('apply', '--server-side', '-f', f))
    await say(`get`, () => shop.run('get', '-f', f, '-o', 'json', '--show-managed-fields'))
    await say(`diff`, () => shop.run('diff', '--server-side', '-f', f))
    await say(`again`, () => shop.run('apply', '--server-side', '-f', f))
    await say(`again client`, () => shop.run('apply', '-f', f))
  }
  await say('dryrun', () => shop.run('create', '--dry-run=server', '-o', 'json', '-f', '/tmp/J-pod.json'))
})
