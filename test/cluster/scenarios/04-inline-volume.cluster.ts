import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { artifact, image, load } from '../../support/artifact.ts'
import { tarOf } from '../../support/tar.ts'
import { exampleFile } from '../support/install.ts'
import { javaProgram } from '../support/java-program.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { answerOf, podReady, shellIn } from '../support/pods.ts'
import { openScenario } from '../support/scenario.ts'

test("the Go project's Singularity example works unchanged", async () => {
  // It names `ubuntu`, which the container runtime asks the registry for, as for every `latest`.
  await using dockerHub = await startNodeRegistry('docker.io')
  load(dockerHub, 'library/ubuntu:latest', await shellImage())
  await using ghcr = await startNodeRegistry('ghcr.io')
  const mediaType = 'application/vnd.sylabs.sif.layer.v1.sif'
  const layer = { title: 'container.sif', mediaType, content: 'a Singularity image' }
  load(ghcr, 'singularityhub/github-ci:latest', artifact({ layers: [layer] }))
  await using scenario = await openScenario('singularity')
  const { kubectl } = scenario
  await kubectl.apply([GO_PROJECT_SINGULARITY])
  await podReady(kubectl, 'my-csi-app-inline')
  expect(await shellIn(kubectl, 'my-csi-app-inline', 'ls /mnt/oras')).toBe('container.sif\n')
  expect(await shellIn(kubectl, 'my-csi-app-inline', 'cat /mnt/oras/container.sif')).toBe(
    'a Singularity image',
  )
})

test("the Go project's Java example works unchanged", async () => {
  await using registry = await startNodeRegistry('kind-registry:5000', { plainHttp: true })
  const content = await javaProgram('HelloWorldServer.jar', '1.0')
  const layer = { title: 'HelloWorldServer.jar', content }
  load(registry, 'java-app:1.0', artifact({ layers: [layer] }))
  await using scenario = await openScenario('java-inline')
  const { kubectl } = scenario
  await kubectl.apply([GO_PROJECT_JAVA])
  await podReady(kubectl, 'my-csi-java-app')
  const pod = await kubectl.get('pod', 'my-csi-java-app')
  expect(await answerOf(pod.status.podIP, 8080)).toBe('hello 1.0 on the first base')
})

test("the project's own example of an inline volume serves its page", async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  const page = { title: 'index.html', mediaType: 'text/html', content: '<p>a page' }
  const style = { title: 'style.css', mediaType: 'text/css', content: 'p { color: red }' }
  load(registry, 'acme/site:v3', artifact({ layers: [page, style] }))
  await using scenario = await openScenario('site')
  const { kubectl } = scenario
  await kubectl.apply(await readFile(exampleFile('csi-volume.yaml'), 'utf8'))
  await podReady(kubectl, 'site')
  const pod = await kubectl.get('pod', 'site')
  expect(await answerOf(pod.status.podIP, 80)).toBe('<p>a page')
})

/** @see https://github.com/converged-computing/oras-csi/blob/main/examples/basic/pod/pod.yaml */
const GO_PROJECT_SINGULARITY = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'my-csi-app-inline' },
  spec: {
    containers: [
      {
        name: 'my-container',
        image: 'ubuntu',
        volumeMounts: [{ name: 'oras-inline', mountPath: '/mnt/oras', readOnly: true }],
        command: ['sleep', '1000000'],
      },
    ],
    volumes: [
      {
        name: 'oras-inline',
        csi: {
          driver: 'csi.oras.land',
          readOnly: true,
          volumeAttributes: {
            'oras.artifact.reference': 'ghcr.io/singularityhub/github-ci:latest',
          },
        },
      },
    ],
  },
}

/** @see https://github.com/converged-computing/oras-csi/blob/main/examples/java/pod.yaml */
const GO_PROJECT_JAVA = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'my-csi-java-app' },
  spec: {
    containers: [
      {
        name: 'my-java-app',
        image: 'localhost:5001/java-app-base:1.0',
        command: ['java', '-jar', '/app/HelloWorldServer.jar'],
        volumeMounts: [{ mountPath: '/app', name: 'oras-inline' }],
      },
    ],
    volumes: [
      {
        name: 'oras-inline',
        csi: {
          driver: 'csi.oras.land',
          readOnly: true,
          volumeAttributes: {
            'oras.artifact.reference': 'kind-registry:5000/java-app:1.0',
            'oras.options.plainhttp': 'true',
            'oras.options.insecure': 'true',
          },
        },
      },
    ],
  },
}

/** An image with a shell and little else. */
async function shellImage() {
  const commands = ['cat', 'ls', 'sh', 'sleep']
  const layer = tarOf([
    { path: 'bin', type: 'directory' },
    { path: 'bin/busybox', content: await readFile('/bin/busybox'), mode: 0o755 },
    ...commands.map((name) => ({
      path: `bin/${name}`,
      type: 'symlink' as const,
      linkname: 'busybox',
    })),
  ])
  return image({ layers: [layer] })
}
