import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { poll } from '../../support/poll.ts'
import { BUSYBOX_IMAGE } from '../images/base-images.ts'
import type { KubernetesObject } from '../support/kubectl.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { podObject, podReady, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

test('one file, one directory, an init container and several artifacts in one pod', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  const config = [
    { title: 'conf/app.conf', content: 'colour = red' },
    { title: 'site/index.html', content: '<p>' },
    { title: 'site/css/style.css', content: 'p {}' },
  ]
  load(registry, 'acme/config:v1', artifact({ layers: config }))
  const tool = { title: 'prepare', content: '#!/bin/sh\necho prepared > /scratch/result\n' }
  load(registry, 'acme/tools:v1', artifact({ layers: [tool] }))
  await using scenario = await openScenario('mounts')
  const { kubectl } = scenario
  const work = { name: 'work', mountPath: '/scratch' }
  await kubectl.apply([
    podObject('mounts', {
      annotations: {
        'oras.land/artifacts': `
          - {reference: "ghcr.io/acme/config:v1", mountPath: /config/app.conf, subPath: conf/app.conf}
          - {reference: "ghcr.io/acme/config:v1", mountPath: /srv/www, subPath: site}
          - {reference: "ghcr.io/acme/tools:v1", mountPath: /tools, containers: ["init:prepare"]}
        `,
      },
      container: { volumeMounts: [work] },
      spec: {
        initContainers: [
          {
            name: 'prepare',
            image: BUSYBOX_IMAGE,
            command: ['/tools/prepare'],
            volumeMounts: [work],
          },
        ],
        volumes: [{ name: 'work', emptyDir: {} }],
      },
    }),
  ])
  await podReady(kubectl, 'mounts')
  const script =
    'cat /config/app.conf; echo; find /srv/www -type f | sort; cat /scratch/result; ls /tools 2>&1'
  expect((await shellIn(kubectl, 'mounts', `${script} || true`)).split('\n')).toEqual([
    'colour = red',
    '/srv/www/css/style.css',
    '/srv/www/index.html',
    'prepared',
    'ls: /tools: No such file or directory',
    '',
  ])
})

test("a private artifact comes with the pod's imagePullSecret, which the webhook passes on", async () => {
  await using registry = await startNodeRegistry('ghcr.io', {
    auth: { kind: 'bearer', users: { ada: 'correct horse' } },
  })
  const layer = { title: 'data.txt', content: 'for ada only' }
  load(registry, 'acme/private:v1', artifact({ layers: [layer] }))
  await using scenario = await openScenario('private')
  const { kubectl } = scenario
  await kubectl.run(
    ...['create', 'secret', 'docker-registry', 'regcred', '--docker-server=ghcr.io'],
    ...['--docker-username=ada', '--docker-password=correct horse'],
  )
  const annotations = { 'oras.land/artifacts': '/data: ghcr.io/acme/private:v1' }
  const spec = { imagePullSecrets: [{ name: 'regcred' }] }
  await kubectl.apply([podObject('with-secret', { annotations, spec })])
  await podReady(kubectl, 'with-secret')
  expect(await shellIn(kubectl, 'with-secret', 'cat /data/data.txt')).toBe('for ada only')
  const pod = await kubectl.get('pod', 'with-secret')
  const volumes: readonly KubernetesObject[] = pod.spec.volumes
  expect(volumes.find(({ name }) => name === 'oras-data').csi.nodePublishSecretRef).toEqual({
    name: 'regcred',
  })

  // It lies on the node now; a pod without the secret does not get it.
  await kubectl.apply([podObject('without-secret', { annotations })])
  const described = await poll(
    async () => {
      const text = await kubectl.run('describe', 'pod', 'without-secret')
      return text.includes('FailedMount') && text
    },
    { deadlineMs: 60_000, what: 'the FailedMount event' },
  )
  expect(described).toContain('Cannot pull "ghcr.io/acme/private:v1": registry answered 401')
})
