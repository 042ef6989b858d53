import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type JsonObject, objectAt, objectsAt, textAt } from '../../webhook/json.ts'
import { mutate } from '../../webhook/mutate.ts'
import { objectIn } from '../manifests/manifest-objects.ts'
import { artifact, type Built, load, writeLayout } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { publishRequest } from '../support/kubelet.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { textOf } from './blocks.ts'

const why = await whyNoMounts()

/** What a pod with the annotations of a page finds in its volume, by path. */
function shown(node: TestNode, driver: TestDriver, name: string) {
  return shownOf(node, driver, name.replace('/', '-'), textOf(name))
}

async function shownOf(
  node: TestNode,
  driver: TestDriver,
  pod: string,
  annotations: string,
): Promise<Readonly<Record<string, string>>> {
  const volume = volumeOf(annotations)
  const attributes = Object.entries(objectIn(volume, 'csi', 'volumeAttributes'))
  const request = await publishRequest({
    kubeletDir: node.kubeletDir,
    pod: { name: pod, namespace: 'default', uid: `uid-${pod}` },
    volumeName: textAt(volume, 'name') ?? '',
    attributes: Object.fromEntries(attributes.map(([key, value]) => [key, String(value)])),
    readOnly: true,
  })
  await driver.csi.nodePublishVolume(request)
  const files = await readdir(request.target_path, { recursive: true, withFileTypes: true })
  const contents: [string, string][] = []
  for (const file of files.filter((entry) => entry.isFile())) {
    const path = join(file.parentPath, file.name)
    contents.push([path.slice(request.target_path.length + 1), await readFile(path, 'utf8')])
  }
  await driver.csi.nodeUnpublishVolume(request)
  return Object.fromEntries(contents.sort())
}

/** The one volume that the webhook adds to a pod with these annotations. */
function volumeOf(text: string): JsonObject {
  const { pod } = mutate({
    metadata: { annotations: parse(text) },
    spec: { containers: [{ name: 'app' }] },
  })
  const [volume, ...others] = objectsAt(objectAt(pod, 'spec'), 'volumes')
  if (volume === undefined || others.length > 0) throw new Error('Expected one volume')
  return volume
}

function files(contents: Readonly<Record<string, string>>): Built {
  return artifact({
    layers: Object.entries(contents).map(([title, content]) => ({ title, content })),
  })
}

const JAR = 'application/java-archive'

function plugIn(title: string, kind: string, mediaType = JAR) {
  return { ...{ title, content: title, mediaType }, annotations: { 'com.acme.kind': kind } }
}

/** What ghcr.io has. */
const ARTIFACTS: Readonly<Record<string, Built>> = {
  'acme/plugins-base:3': files({ 'a.jar': 'a of base', 'b.jar': 'b of base' }),
  'acme/plugins-extra:1': files({ 'b.jar': 'b of extra', 'c.jar': 'c of extra' }),
  'acme/plugin-mail:2': files({ 'mail.jar': 'mail' }),
  'acme/plugin-search:7': files({ 'search.jar': 'search' }),
  'acme/plugins:3': artifact({
    layers: [
      plugIn('driver.jar', 'driver'),
      plugIn('flac.jar', 'codec-flac'),
      plugIn('flac-sources.jar', 'codec-flac'),
      plugIn('theme.jar', 'theme'),
      plugIn('notes.jar', 'driver', 'text/plain'),
    ],
  }),
  'acme/llama:8b': files({ 'model.gguf': 'weights', 'tokenizer.json': '{}' }),
  'acme/nginx-conf:v4': files({ 'nginx.conf': 'main', 'conf.d/site.conf': 'site' }),
}

/** What is to be in the volume of a pod, by the block of a page. */
const SHOWN = {
  // A later one wins.
  'composed/plug-ins': { 'a.jar': 'a of base', 'b.jar': 'b of extra', 'c.jar': 'c of extra' },
  'composed/plug-ins-path': { 'mail/mail.jar': 'mail', 'search/search.jar': 'search' },
  // A layer must pass all of select.
  'composed/plug-ins-select': { 'driver.jar': 'driver.jar', 'flac.jar': 'flac.jar' },
  'composed/model-select': { 'model.gguf': 'weights' },
  // The kubelet mounts its subPath.
  'composed/configuration-file': { 'conf.d/site.conf': 'site', 'nginx.conf': 'main' },
}

describe('what the recipes say is in the volume', { timeout: 120_000 }, () => {
  test('of artifacts in a registry; a subPath that is not there is an error', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    for (const [name, built] of Object.entries(ARTIFACTS)) load(registry, name, built)
    await using node = await startNode()
    await node.configure('ghcr.io', `server = "${registry.url}"`)
    await using driver = await node.startDriver()
    const found: Record<string, object> = {}
    for (const name of Object.keys(SHOWN)) found[name] = await shown(node, driver, name)
    expect(found).toEqual(SHOWN)

    load(registry, 'acme/other:v4', files({ 'nginx.conf': 'main' }))
    const other = textOf('composed/configuration-file').replace('nginx-conf', 'other')
    await expect(shownOf(node, driver, 'other', other)).rejects.toThrow(
      'Cannot mount subPath "conf.d/site.conf"',
    )
  })

  test('of a directory that is the registry', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('acme/app'), { recursive: true })
    await writeLayout(directory.file('acme/app'), 'v1', files({ 'app.jar': 'app' }))
    await using node = await startNode()
    const toml = textOf('hosts/directory').replace('/srv/artifacts', directory.path)
    await node.configure('artifacts.internal', toml.trim())
    await using driver = await node.startDriver()
    expect(await shown(node, driver, 'composed/bucket')).toEqual({ 'app.jar': 'app' })
  })
})
