import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../../common/oci/digest.ts'
import type { Stage } from '../../../driver/pull/stages.ts'
import { artifact, directoryLayer, load } from '../../support/artifact.ts'
import type { TestNode } from '../../support/driver.ts'
import { type PublishRequest, publishRequest } from '../../support/kubelet.ts'
import {
  type Content,
  contentOf,
  digestOfContent,
  generatedContent,
} from '../../support/registry/content.ts'
import { startRegistry, type TestRegistry } from '../../support/registry.ts'

/** A layer of the scenario's artifacts. */
export interface ScenarioBlob {
  readonly repository: string
  readonly digest: Digest
  readonly size: number
  /** Its requests, e.g. to hold them. */
  readonly request: { readonly method: 'GET'; readonly path: string }
}

/** What stands in a directory, by path: `"directory"`, `"-> TARGET"`, or a file's digest. */
export type Listing = Readonly<Record<string, string>>

/**
 * A registry whose artifacts need every part of the pull engine, and a volume of them: two sources in one view; a large file over the
 * download threads, an archive that is unpacked behind its download, small files inline.
 */
export interface CrashScenario extends AsyncDisposable {
  readonly registry: TestRegistry
  readonly blobs: readonly ScenarioBlob[]
  /** Followed while it is downloaded. */
  readonly archive: ScenarioBlob
  /** Those of which an interrupted download leaves enough to be worth taking up: over a thread, followed, and inline. */
  readonly resumable: readonly ScenarioBlob[]
  /** What the volume shows. */
  readonly view: Listing
  /** Every directory that may be visible in a store. */
  readonly complete: readonly Listing[]
  request(node: TestNode): Promise<PublishRequest>
}

/** How often one publish reaches each stage; a download that was interrupted is taken up by the publish after that. */
export const HITS = {
  // Each source, and the view.
  'lease-written': 3,
  'manifest-stored': 2,
  'ingest-opened': 5,
  'ingest-resumed': 3,
  'bytes-written': 5,
  'blob-verified': 5,
  'blob-committed': 5,
  'staging-made': 2,
  'unpack-begun': 1,
  'tree-built': 2,
  'tree-recorded': 2,
  'tree-committed': 2,
  'view-built': 1,
  mounted: 1,
  'lease-completed': 1,
} as const satisfies Record<Stage, number>

const KIBIBYTE = 1024
const MEBIBYTE = 1024 * KIBIBYTE
const APP = 'acme/app'
const SETTINGS = 'acme/settings'

const MODEL = generatedContent(6 * MEBIBYTE + 7, 1)
const WORDS = generatedContent(700 * KIBIBYTE + 5, 2)
const README = contentOf(Buffer.from('read me\n'))
const LIMITS = contentOf(Buffer.from('{"limits":1}\n'))
/** Two MiB and more that gzip cannot shrink: below that, nothing is followed. */
const PAGES = Array.from({ length: 30 }, (_, index) => ({
  path: `pages/${index % 5}/page-${index}`,
  content: bytesOf(generatedContent(100 * KIBIBYTE + index, 100 + index)),
}))
const SITE = directoryLayer('site', [
  { path: 'pages', type: 'directory' },
  ...Array.from({ length: 5 }, (_, index) => ({
    path: `pages/${index}`,
    type: 'directory' as const,
  })),
  ...PAGES,
  { path: 'latest', type: 'symlink', linkname: 'pages/0/page-0' },
])

const APP_TREE = {
  'README.md': digestOfContent(README),
  'model.bin': digestOfContent(MODEL),
  site: 'directory',
  'site/pages': 'directory',
  ...Object.fromEntries(
    Array.from({ length: 5 }, (_, index) => [`site/pages/${index}`, 'directory']),
  ),
  ...Object.fromEntries(PAGES.map(({ path, content }) => [`site/${path}`, digestOf(content)])),
  'site/latest': '-> pages/0/page-0',
}
const SETTINGS_TREE = {
  'limits.json': digestOfContent(LIMITS),
  'words.bin': digestOfContent(WORDS),
}
const VIEW = {
  ...APP_TREE,
  etc: 'directory',
  ...Object.fromEntries(
    Object.entries(SETTINGS_TREE).map(([path, found]) => [`etc/${path}`, found]),
  ),
}

/** Starts the registry. */
export async function startCrashScenario(): Promise<CrashScenario> {
  const registry = await startRegistry()
  const put = (repository: string, content: Content): ScenarioBlob => {
    const digest = registry.addBlob(repository, content)
    const path = `/v2/${repository}/blobs/${digest}`
    return { repository, digest, size: content.size, request: { method: 'GET', path } }
  }
  const model = put(APP, MODEL)
  const readme = put(APP, README)
  const archive = put(APP, contentOf(SITE.content))
  const words = put(SETTINGS, WORDS)
  const limits = put(SETTINGS, LIMITS)
  load(
    registry,
    `${APP}:v1`,
    artifact({
      layers: [{ title: 'model.bin', ...model }, { title: 'README.md', ...readme }, SITE],
    }),
  )
  load(
    registry,
    `${SETTINGS}:v1`,
    artifact({
      layers: [
        { title: 'words.bin', ...words },
        { title: 'limits.json', ...limits },
      ],
    }),
  )
  return {
    registry,
    blobs: [model, readme, archive, words, limits],
    archive,
    resumable: [model, archive, words],
    view: VIEW,
    complete: [APP_TREE, SETTINGS_TREE, VIEW],
    request: (node) =>
      publishRequest({
        kubeletDir: node.kubeletDir,
        pod: { name: 'pod', namespace: 'default', uid: 'uid-pod' },
        volumeName: 'app',
        attributes: {
          'oras.sources': JSON.stringify([
            { reference: `${registry.host}/${APP}:v1` },
            { reference: `${registry.host}/${SETTINGS}:v1`, path: 'etc' },
          ]),
        },
        readOnly: true,
      }),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  }
}

/** Lists what stands below a directory. */
export function listingOf(root: string): Listing {
  const found: Record<string, string> = {}
  const visit = (directory: string) => {
    for (const name of readdirSync(join(root, directory))) {
      const path = join(directory, name)
      const absolute = join(root, path)
      const stat = lstatSync(absolute)
      if (stat.isDirectory()) {
        found[path] = 'directory'
        visit(path)
      } else if (stat.isSymbolicLink()) found[path] = `-> ${readlinkSync(absolute)}`
      else found[path] = digestOf(readFileSync(absolute))
    }
  }
  visit('')
  return found
}

function bytesOf(content: Content): Uint8Array {
  return content.slice(0, content.size)
}
