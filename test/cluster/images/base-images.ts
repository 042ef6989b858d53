import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../support/command.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { PAUSE_IMAGE } from '../node/containerd.ts'
import type { Docker } from './docker.ts'
import type { ImageSet } from './image-set.ts'

export const DEBIAN_IMAGE = 'debian:bookworm-slim'
export const BUSYBOX_IMAGE = 'busybox:1.35'

/** The Java images that examples name, each standing for a version of the base. */
const JAVA_IMAGES = {
  'eclipse-temurin:21-jre': 'first',
  'eclipse-temurin:22-jre': 'second',
  'localhost:5001/java-app-base:1.0': 'first',
} as const

/** Debian, as its own tool makes it. */
export const DEBIAN: ImageSet = {
  name: 'debian',
  key: ['debootstrap minbase bookworm libatomic1 libstdc++6'],
  images: [DEBIAN_IMAGE],
  on: [],
  build: async (docker) => {
    await using directory = await temporaryDirectory()
    const root = directory.file('root')
    const mirror = 'http://deb.debian.org/debian'
    // What Node links to, besides what is there anyway.
    const include = '--include=libatomic1,libstdc++6,ca-certificates'
    const debootstrap = ['--variant=minbase', include, 'bookworm', root, mirror]
    await run('debootstrap', debootstrap, { timeoutMs: 600_000 })
    const archive = directory.file('root.tar')
    await run('tar', ['--create', '--file', archive, '--numeric-owner', '--directory', root, '.'])
    await docker.run(['import', '--change', 'CMD ["bash"]', archive, DEBIAN_IMAGE])
  },
}

/** What the cluster itself and small test pods need. */
export const SMALL: ImageSet = {
  name: 'small',
  key: ['pause/Dockerfile', 'pause/pause.c', 'busybox/Dockerfile', 'nginx/Dockerfile'].map(
    (file) => ({ file: sourceOf(file) }),
  ),
  images: [PAUSE_IMAGE, BUSYBOX_IMAGE, 'nginx:stable'],
  on: [],
  build: async (docker) => {
    await buildIn(docker, 'pause', PAUSE_IMAGE, async (context) => {
      const source = join(context, 'pause.c')
      await run('gcc', ['-static', '-Os', '-o', join(context, 'pause'), source])
    })
    await buildIn(docker, 'busybox', BUSYBOX_IMAGE, (context) =>
      cp('/bin/busybox', join(context, 'busybox')),
    )
    await buildIn(docker, 'nginx', 'nginx:stable')
  },
}

/** Java runtimes without a program. */
export const JAVA: ImageSet = {
  name: 'java',
  key: [{ file: sourceOf('java/Dockerfile') }, JSON.stringify(JAVA_IMAGES)],
  images: Object.keys(JAVA_IMAGES),
  on: [DEBIAN],
  build: async (docker) => {
    for (const [image, base] of Object.entries(JAVA_IMAGES)) {
      const args = ['--network=host', '--build-arg', `BASE=${base}`]
      await buildIn(docker, 'java', image, undefined, args)
    }
  },
}

/** Builds the image of a directory beside this file, after `prepare` has put into a copy of it what is not in the repository. */
export async function buildIn(
  docker: Docker,
  name: string,
  image: string,
  prepare: (context: string) => Promise<void> = async () => {},
  args: readonly string[] = ['--network=none'],
): Promise<void> {
  await using directory = await temporaryDirectory()
  const context = directory.file('context')
  await cp(sourceOf(name), context, { recursive: true })
  await prepare(context)
  await docker.run(['build', '--quiet', ...args, '--tag', image, context])
}

/** The path of a file beside this one. */
export function sourceOf(file: string): string {
  return new URL(file, import.meta.url).pathname
}
