import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type JsonObject, objectAt, objectsAt, textAt } from '../../webhook/json.ts'
import { mutate } from '../../webhook/mutate.ts'
import { objectIn } from '../manifests/manifest-objects.ts'
import { artifact, type Built, load, writeLayout } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { publishRequest } from '../support/kubelet.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { textOf } from './blocks.ts'

const why = await whyNoMounts()

/** What a pod with the annotations of a page finds in its volume, by path; ghcr.io has these artifacts. */
async function shown(
  name: string,
  artifacts: Readonly<Record<string, Built>>,
): Promise<Readonly<Record<string, string>>> {
  await using registry = await startRegistry()
  for (const [reference, built] of Object.entries(artifacts)) load(registry, reference, built)
  await using node = await startNode(registry)
  await node.configure('ghcr.io', `server = "${registry.url}"`)
  return await publishedBy(node, volumeOf(textOf(name)))
}

async function publishedBy(
  node: Awaited<ReturnType<typeof startNode>>,
  volume: JsonObject,
): Promise<Readonly<Record<string, string>>> {
  await using driver = await node.startDriver()
  const attributes = Object.entries(objectIn(volume, 'csi', 'volumeAttributes'))
  const request = await publishRequest({
    kubeletDir: node.kubeletDir,
    pod: { name: 'pod', namespace: 'default', uid: 'uid-pod' },
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

describe('what the recipes say is in the volume', { timeout: 90_000 }, () => {
  test('plug-ins.md: of several artifacts the later one wins', async (context) => {
    skipUnless(context, why)
    const base = files({ 'a.jar': 'a of base', 'b.jar': 'b of base' })
    const extra = files({ 'b.jar': 'b of extra', 'c.jar': 'c of extra' })
    const found = await shown('composed/plug-ins', {
      'acme/plugins-base:3': base,
      'acme/plugins-extra:1': extra,
    })
    expect(found).toEqual({ 'a.jar': 'a of base', 'b.jar': 'b of extra', 'c.jar': 'c of extra' })
  })

  test('plug-ins.md: each in a directory of its own', async (context) => {
    skipUnless(context, why)
    const found = await shown('composed/plug-ins-path', {
      'acme/plugin-mail:2': files({ 'mail.jar': 'mail' }),
      'acme/plugin-search:7': files({ 'search.jar': 'search' }),
    })
    expect(found).toEqual({ 'mail/mail.jar': 'mail', 'search/search.jar': 'search' })
  })

  test('plug-ins.md: a layer must pass all of select', async (context) => {
    skipUnless(context, why)
    const layer = (title: string, kind: string, mediaType = 'application/java-archive') => ({
      ...{ title, content: title, mediaType },
      annotations: { 'com.acme.kind': kind },
    })
    const layers = [
      layer('driver.jar', 'driver'),
      layer('flac.jar', 'codec-flac'),
      layer('flac-sources.jar', 'codec-flac'),
      layer('theme.jar', 'theme'),
      layer('notes.jar', 'driver', 'text/plain'),
    ]
    const found = await shown('composed/plug-ins-select', {
      'acme/plugins:3': artifact({ layers }),
    })
    expect(Object.keys(found)).toEqual(['driver.jar', 'flac.jar'])
  })

  test('models.md: what is not selected is not there', async (context) => {
    skipUnless(context, why)
    const found = await shown('composed/model-select', {
      'acme/llama:8b': files({ 'model.gguf': 'weights', 'tokenizer.json': '{}' }),
    })
    expect(found).toEqual({ 'model.gguf': 'weights' })
  })

  test('configuration.md: one file is mounted by its subPath', async (context) => {
    skipUnless(context, why)
    const conf = files({ 'nginx.conf': 'main', 'conf.d/site.conf': 'site' })
    const found = await shown('composed/configuration-file', { 'acme/nginx-conf:v4': conf })
    expect(found).toMatchObject({ 'conf.d/site.conf': 'site' })
    const without = shown('composed/configuration-file', {
      'acme/nginx-conf:v4': files({ 'nginx.conf': 'main' }),
    })
    await expect(without).rejects.toThrow('Cannot mount subPath "conf.d/site.conf"')
  })

  test('bucket.md: a directory is the registry', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('acme/app'), { recursive: true })
    await writeLayout(directory.file('acme/app'), 'v1', files({ 'app.jar': 'app' }))
    await using node = await startNode()
    const toml = textOf('hosts/directory').replace('/srv/artifacts', directory.path)
    await node.configure('artifacts.internal', toml.trim())
    expect(await publishedBy(node, volumeOf(textOf('composed/bucket')))).toEqual({
      'app.jar': 'app',
    })
  })
})
