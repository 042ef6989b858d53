import { cp, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exists } from '../../support/cache-directory.ts'
import { run } from '../../support/command.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { buildIn, DEBIAN, sourceOf } from './base-images.ts'
import type { ImageSet } from './image-set.ts'

const CHECKOUT = new URL('../../..', import.meta.url).pathname
const NODE_IMAGE = 'node:26-bookworm-slim'
const NPM_IMAGE = 'oras-csi-npm:local'
/** Any npm that Node 26 runs; one that holds all its own dependencies. */
const NPM_VERSION = '11.19.1'
const NPM_TIMEOUT_MS = 600_000

/** The bases of the project's Dockerfile: Node, and Node with npm and a filled cache of packages. */
export function dockerfileBases(): ImageSet {
  return {
    name: 'node',
    key: [
      ...['node/Dockerfile', 'npm/Dockerfile'].map((file) => ({ file: sourceOf(file) })),
      { file: join(CHECKOUT, 'package.json') },
      { file: join(CHECKOUT, 'package-lock.json') },
      process.version,
      NPM_VERSION,
    ],
    images: [NODE_IMAGE, NPM_IMAGE],
    on: [DEBIAN],
    build: async (docker) => {
      await buildIn(docker, 'node', NODE_IMAGE, (context) =>
        // The Node that runs this: with-node.sh pins it.
        cp(process.execPath, join(context, 'node')),
      )
      await buildIn(docker, 'npm', NPM_IMAGE, async (context) => {
        await using directory = await temporaryDirectory()
        const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund']
        await run('npm', ['install', '--prefix', directory.path, ...flags, `npm@${NPM_VERSION}`], {
          timeoutMs: NPM_TIMEOUT_MS,
        })
        const npm = join(context, 'npm')
        await cp(directory.file('node_modules', 'npm'), npm, { recursive: true })
        await fillNpmCache(npm, join(context, 'cache'))
      })
    },
  }
}

/** The project's image, made by the project's Dockerfile under the name that the shipped manifests give it. */
export async function projectImage(): Promise<ImageSet> {
  const image = await imageOfManifests()
  const files = await contextFiles()
  return {
    name: 'oras-csi',
    key: files.flatMap((file) => [file, { file: join(CHECKOUT, file) }]),
    images: [image],
    on: [dockerfileBases()],
    build: async (docker) => {
      await docker.run([
        'build',
        '--quiet',
        '--network=none',
        '--build-arg',
        `NODE_IMAGE=${NODE_IMAGE}`,
        '--build-arg',
        `NPM_IMAGE=${NPM_IMAGE}`,
        '--tag',
        image,
        CHECKOUT,
      ])
    },
  }
}

/** e.g. `ghcr.io/oras-csi/oras-csi:0.1.0` */
async function imageOfManifests(): Promise<string> {
  const text = await readFile(join(CHECKOUT, 'manifests/base/kustomization.yaml'), 'utf8')
  const name = /newName: (\S+)/.exec(text)?.[1]
  const tag = /newTag: (\S+)/.exec(text)?.[1]
  if (name === undefined || tag === undefined) {
    throw new Error('Cannot find the image in manifests/base/kustomization.yaml')
  }
  return `${name}:${tag}`
}

/** What the Dockerfile sees of the checkout, and itself. */
async function contextFiles(): Promise<readonly string[]> {
  const ignore = await readFile(join(CHECKOUT, '.dockerignore'), 'utf8')
  const included = ignore.split('\n').flatMap((line) => /^!(.+)$/.exec(line)?.[1] ?? [])
  const files = ['Dockerfile', '.dockerignore']
  for (const path of included) {
    const absolute = join(CHECKOUT, path)
    if (!(await exists(absolute))) continue
    const below = await readdir(absolute, { recursive: true, withFileTypes: true }).catch(() => [])
    files.push(
      ...(below.length === 0
        ? [path]
        : below
            .filter((entry) => entry.isFile())
            .map((entry) => join(entry.parentPath, entry.name).slice(CHECKOUT.length))),
    )
  }
  return files.sort()
}

/** Installs what the Dockerfile installs, so that its downloads are in the cache. */
async function fillNpmCache(npm: string, cache: string): Promise<void> {
  await using directory = await temporaryDirectory()
  for (const file of ['package.json', 'package-lock.json']) {
    await cp(join(CHECKOUT, file), directory.file(file))
  }
  const flags = ['--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund']
  await run(process.execPath, [join(npm, 'bin/npm-cli.js'), 'ci', ...flags, '--cache', cache], {
    cwd: directory.path,
    timeoutMs: NPM_TIMEOUT_MS,
  })
}
