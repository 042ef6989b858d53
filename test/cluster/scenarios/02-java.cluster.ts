import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { artifact, load } from '../../support/artifact.ts'
import { exampleFile } from '../support/install.ts'
import { javaProgram } from '../support/java-program.ts'
import { startNodeRegistry } from '../support/node-registry.ts'
import { answerOf, deploymentReady, podsOf } from '../support/pods.ts'
import { openScenario, type Scenario } from '../support/scenario.ts'

test('a Java application: the base image rolls without the artifact, and the artifact without the image', async () => {
  await using registry = await startNodeRegistry('ghcr.io')
  for (const version of ['v1', 'v2']) {
    const content = await javaProgram('hello.jar', version)
    const layer = { title: 'hello.jar', mediaType: 'application/java-archive', content }
    load(registry, `acme/hello-jar:${version}`, artifact({ layers: [layer] }))
  }
  await using scenario = await openScenario('java')
  const { kubectl } = scenario
  await kubectl.apply(await readFile(exampleFile('java.yaml'), 'utf8'))
  await deploymentReady(kubectl, 'hello')
  expect(await answers(scenario)).toEqual([
    'hello v1 on the first base',
    'hello v1 on the first base',
  ])

  await kubectl.run('set', 'image', 'deployment/hello', 'java=eclipse-temurin:22-jre')
  await deploymentReady(kubectl, 'hello')
  expect(await answers(scenario)).toEqual([
    'hello v1 on the second base',
    'hello v1 on the second base',
  ])

  const annotations = { 'oras.land/artifacts': '/app: ghcr.io/acme/hello-jar:v2' }
  const patch = { spec: { template: { metadata: { annotations } } } }
  await kubectl.run('patch', 'deployment', 'hello', '--patch', JSON.stringify(patch))
  await deploymentReady(kubectl, 'hello')
  expect(await answers(scenario)).toEqual([
    'hello v2 on the second base',
    'hello v2 on the second base',
  ])
  // Six pods, two versions.
  expect(registry.count('GET', '/v2/acme/hello-jar/blobs/*')).toBe(2)
})

/** What each pod of the example says over HTTP. */
async function answers({ kubectl }: Scenario): Promise<string[]> {
  const pods = await podsOf(kubectl, 'hello')
  return Promise.all(pods.map((pod) => answerOf(pod.status.podIP, 8080)))
}
