// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are code
import type { Mutant } from './mutant.ts'

const INDEX = ['test/common/oci/layout-index.test.ts']
const INDEX_CACHE = ['test/common/oci/layout-index-cache.test.ts']
const DIRECTORY = ['test/common/oci/layout-source.test.ts']
const WEB = ['test/common/oci/layout-http-source.test.ts']
const DOWNLOADS = ['test/driver/pull/oci-layout/blob-downloads.test.ts']
const SEPARATE = ['test/driver/pull/oci-layout/separate-layout-source.test.ts']

/** Breakages of OCI layouts as registries. */
export const LAYOUT_MUTANTS: readonly Mutant[] = [
  {
    name: 'takes the first of several entries with a tag of a layout',
    file: 'common/oci/layout-index.ts',
    text: 'const last = entries.at(-1)',
    replacement: 'const last = entries.at(0)',
    tests: INDEX,
  },
  {
    name: 'takes an entry of a layout whatever platform the others with its tag are for',
    file: 'common/oci/layout-index.ts',
    text: 'if (new Set(platforms.map(formatPlatform)).size > 1) {',
    replacement: 'if (new Set(platforms.map(formatPlatform)).size > 9) {',
    tests: INDEX,
  },
  {
    name: 'says for good that a half-written index.json is corrupt',
    file: 'common/oci/layout-index.ts',
    text: "unparsableCode: 'UNAVAILABLE', ",
    replacement: '',
    tests: INDEX,
  },
  {
    name: 'spoils a layout by one strange entry',
    file: 'common/oci/layout-index.ts',
    text: 'if (tag === undefined) continue',
    replacement:
      'if (tag === undefined) parseDescriptor(entry)\n    if (tag === undefined) continue',
    tests: INDEX,
  },
  {
    name: 'does not try a half-written index.json again',
    file: 'common/oci/layout-lookup.ts',
    text: "const transient = error.code === 'UNAVAILABLE'",
    replacement: "const transient = error.code === 'INTERNAL'",
    tests: DIRECTORY,
  },
  {
    name: 'does not look a tag up again whose manifest is gone',
    file: 'common/oci/layout-lookup.ts',
    text: 'if (!gone || lookups === MAX_LOOKUPS) throw error',
    replacement: 'if (!gone || lookups <= MAX_LOOKUPS) throw error',
    tests: DIRECTORY,
  },
  {
    name: 'serves any blob of a layout as a manifest',
    file: 'common/oci/layout-lookup.ts',
    text: 'if (bytes.length > MAX_PARSED_BYTES) return',
    replacement: 'if (bytes.length > 0) return',
    tests: DIRECTORY,
  },
  {
    name: 'takes a manifest of a layout without looking at its digest',
    file: 'common/oci/layout-source.ts',
    text: 'if (found !== digest) {',
    replacement: 'if (found === undefined) {',
    tests: WEB,
    only: 'a manifest of other bytes',
  },
  {
    name: 'makes a path of any repository name',
    file: 'common/oci/layout-path.ts',
    text: 'return parseReference(formatReference(reference)).repository',
    replacement:
      'return reference.repository || parseReference(formatReference(reference)).repository',
    tests: DIRECTORY,
  },
  {
    name: 'makes a path of any digest',
    file: 'common/oci/layout-path.ts',
    text: 'const checked = parseDigest(digest)',
    replacement: 'const checked = digest || parseDigest(digest)',
    tests: DIRECTORY,
  },
  {
    name: 'follows links out of a layout',
    file: 'driver/linux/directory.ts',
    text: "'beneath-mounts': RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,",
    replacement: "'beneath-mounts': RESOLVE_NO_MAGICLINKS,",
    tests: DIRECTORY,
  },
  {
    name: 'waits for somebody to write to a FIFO in a layout',
    file: 'common/oci/layout-source.ts',
    text: 'if (file.isRegular) return file',
    replacement: 'if (file.isRegular || file.size === 0) return file',
    tests: DIRECTORY,
    only: 'FIFO',
  },
  {
    name: 'does not try a file system in trouble again',
    file: 'common/oci/layout-source.ts',
    text: '{ transient: !denied, cause: error },',
    replacement: '{ transient: false, cause: error },',
    tests: DIRECTORY,
  },
  {
    name: 'reads a manifest of a layout however large it is',
    file: 'common/oci/layout-source.ts',
    text: 'if (length > maxBytes) throw tooLarge()',
    replacement: 'if (length < 0) throw tooLarge()',
    tests: DIRECTORY,
  },
  {
    name: 'forgets the limit of manifests on the way to who reads layouts',
    file: 'driver/pull/oci-layout/layout-readers.ts',
    text: '...{ root, maxManifestBytes, deadlineMs },',
    replacement: '...{ root, maxManifestBytes: maxManifestBytes * 1e6, deadlineMs },',
    tests: SEPARATE,
    only: 'the limit of manifests',
  },
  {
    name: 'says nothing of a layout while it hashes what is there of a blob',
    file: 'driver/pull/oci-layout/copy-blob.ts',
    text: 'if (pieces % TELL_HASHED_PIECES === 0) tell()',
    replacement: 'if (pieces < 0) tell()',
    tests: ['test/driver/pull/oci-layout/copy-blob.test.ts'],
  },
  {
    name: 'believes an ETag that nginx gave to a file of this second',
    file: 'common/oci/layout-index-cache.ts',
    text: 'if (etag === undefined || !isSettled(answer) || found.bytes > MAX_BYTES) return',
    replacement: 'if (etag === undefined || found.bytes > MAX_BYTES) return',
    tests: [...INDEX_CACHE, ...WEB],
  },
  {
    name: 'believes an ETag for ever',
    file: 'common/oci/layout-index-cache.ts',
    text: 'if (found !== undefined && found.untilMs > nowMs()) return found',
    replacement: 'if (found !== undefined) return found',
    tests: INDEX_CACHE,
  },
  {
    name: 'says that a layout has no such file whatever its web server answers',
    file: 'common/oci/layout-http-client.ts',
    text: "if (code === 'NOT_FOUND') return",
    replacement: "if (code !== 'NOT_FOUND') return",
    tests: WEB,
    only: 'is told, and nothing of its body',
  },
  {
    name: 'sends the configured headers of a web server to where it redirects',
    file: 'common/oci/layout-http-client.ts',
    text: "await follow(sender, host, { method: 'GET', url, headers, signal })",
    replacement:
      "await follow(sender, host, { method: 'GET', url, headers: { ...headers, ...host.headers }, signal })",
    tests: WEB,
    only: 'do not follow a redirect',
  },
  {
    name: 'takes another part of a blob than it asked a web server for',
    file: 'common/oci/layout-http-source.ts',
    text: "checkBlobAnswer(exchange, call, descriptor, 'layout')",
    replacement: 'void checkBlobAnswer',
    tests: WEB,
    only: 'a part of a blob',
  },
  {
    name: 'gives up when a directory of layouts does not have a blob, though there are other hosts',
    file: 'driver/pull/oci-layout/blob-downloads.ts',
    text: 'else if (others.length > 0) return',
    replacement: 'else if (others.length > 9) return',
    tests: DOWNLOADS,
  },
  {
    name: 'forgets who sent wrong bytes of a blob',
    file: 'driver/pull/oci-layout/blob-downloads.ts',
    text: "if (error.code === 'CORRUPT') route.worked(host, 0, undefined)",
    replacement: "if (error.code === 'CORRUPT') void route.worked",
    tests: DOWNLOADS,
  },
  {
    name: 'asks a host for content that may only say what tags mean',
    file: 'driver/pull/oci-layout/blob-downloads.ts',
    text: 'all.filter(({ capabilities }) => capabilities.pull)',
    replacement: 'all.filter(({ capabilities }) => capabilities !== undefined)',
    tests: DOWNLOADS,
  },
]
