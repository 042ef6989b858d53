// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are code
import type { Mutant } from './mutant.ts'

const DOWNLOADS = ['test/driver/pull/download/download-threads.test.ts']
const INGEST = ['test/driver/pull/download/ingest.test.ts']
const CONNECTIONS = ['test/driver/pull/download/connection-pool.test.ts']

/** Breakages of the way that big blobs take: threads, bare connections, parts. */
export const DOWNLOAD_MUTANTS: readonly Mutant[] = [
  {
    name: 'takes what a thread downloaded without looking at its digest',
    file: 'driver/pull/download/download.ts',
    text: 'if (digest === job.digest) {',
    replacement: 'if (digest !== undefined) {',
    tests: DOWNLOADS,
    only: 'a wrong byte|other bytes',
  },
  {
    name: 'takes a part of another length than it asked for',
    file: 'common/oci/blob-answer.ts',
    text: 'if (length === undefined || Number(length) === end - start) return',
    replacement: 'if (end >= start || length === undefined) return',
    tests: DOWNLOADS,
    only: 'a body of',
  },
  {
    name: 'takes a part of another range than it asked for',
    file: 'common/oci/blob-answer.ts',
    text: 'if (answer.status === 206 && range === `bytes ${start}-${end - 1}/${size}`) return',
    replacement: 'if (answer.status === 206 && (range !== undefined || size > 0)) return',
    tests: DOWNLOADS,
    only: 'than was asked for',
  },
  {
    name: 'sends the Authorization header of a part to where a redirect leads',
    file: 'common/oci/redirect.ts',
    text: 'if (next.origin !== url.origin) headers = withoutSecrets(request.headers)',
    replacement: 'if (next.origin === url.origin) headers = withoutSecrets(request.headers)',
    tests: DOWNLOADS,
    only: 'GHSA-vh4v',
  },
  {
    name: 'connects to an address that may not be contacted',
    file: 'driver/pull/download/open-socket.ts',
    text: 'checkLiteral(url, reach, noteReach)',
    replacement: 'void checkLiteral',
    tests: DOWNLOADS,
    only: 'GHSA-xf85',
  },
  {
    name: 'connects to a name at an address that may not be contacted',
    file: 'driver/pull/download/open-socket.ts',
    text: 'lookup: guardedLookup(reach, noteReach)',
    replacement: 'lookup: guardedLookup(reach && "local", noteReach)',
    tests: DOWNLOADS,
    only: 'GHSA-xf85',
  },
  {
    name: 'downloads from a server whose certificate nobody trusts',
    file: 'driver/pull/download/open-socket.ts',
    text: 'rejectUnauthorized: tls.verify,',
    replacement: 'rejectUnauthorized: tls.verify && false,',
    tests: DOWNLOADS,
    only: 'a certificate that nobody trusts',
  },
  {
    name: 'shares connections of those who trust in different ways',
    file: 'driver/pull/download/connection-pool.ts',
    text: 'const key = `${target.url.origin} ${trustKey(target.tls)} ${target.reach}`',
    replacement: 'const key = `${target.url.origin} ${target.reach}`',
    tests: CONNECTIONS,
  },
  {
    name: 'shares connections of those who may reach differently far',
    file: 'driver/pull/download/connection-pool.ts',
    text: 'const key = `${target.url.origin} ${trustKey(target.tls)} ${target.reach}`',
    replacement: 'const key = `${target.url.origin} ${trustKey(target.tls)}`',
    tests: CONNECTIONS,
  },
  {
    name: 'reads what came unasked as the answer to the next request',
    file: 'driver/pull/download/connection.ts',
    text: `        // Nobody asked for this.
        close()`,
    replacement: '        collected = Buffer.concat([collected, bytes])',
    tests: CONNECTIONS,
  },
  {
    name: 'keeps a connection on which more came than was announced',
    file: 'driver/pull/download/connection.ts',
    text: 'if (bytes.length > own.length || head?.keepAlive !== true) close()',
    replacement: 'if (head?.keepAlive !== true) close()',
    tests: CONNECTIONS,
  },
  {
    name: 'splits requests',
    file: 'driver/pull/download/request-head.ts',
    text: 'if (!NAME.test(name) || !VALUE.test(value)) {',
    replacement: 'if (!NAME.test(name) && !VALUE.test(value)) {',
    tests: ['test/driver/pull/download/request-head.test.ts'],
  },
  {
    name: 'takes two lengths for one',
    file: 'driver/pull/download/response-head.ts',
    text: 'else if (SINGLE.includes(key)) return unfit(`two headers ${key}`)',
    replacement: '',
    tests: ['test/driver/pull/download/response-head.test.ts'],
  },
  {
    name: 'writes again what a follower may have read',
    file: 'driver/pull/download/ingest.ts',
    text: 'for (const { start, end } of parts.missing(offset, offset + bytes.length)) {',
    replacement: 'for (const { start, end } of [{ start: offset, end: offset + bytes.length }]) {',
    tests: INGEST,
  },
  {
    name: 'forgets to say that the file has gaps',
    file: 'driver/pull/download/ingest.ts',
    text: 'if (!recorded && offset > parts.prefix) record()',
    replacement: '',
    tests: INGEST,
  },
  {
    name: 'trusts a record of bytes that are not in the file',
    file: 'driver/pull/download/ingest.ts',
    text: 'parts?.every(({ end }) => end <= Math.min(fileSize, size))',
    replacement: 'parts?.every(({ end }) => end <= size)',
    tests: INGEST,
  },
  {
    name: 'leaves on the disk what filled it',
    file: 'driver/pull/download/download.ts',
    text: 'if (useless) ingest.remove()',
    replacement: 'if (useless === undefined) ingest.remove()',
    tests: ['test/driver/pull/download/full-disk.test.ts'],
  },
  {
    name: 'asks for a blob that cannot fit',
    file: 'driver/pull/download/download-space.ts',
    text: 'if (missing > free) {',
    replacement: 'if (missing > free && missing < 0) {',
    tests: ['test/driver/pull/download/download-space.test.ts'],
  },
  {
    name: 'opens as many connections as it likes',
    file: 'driver/pull/download/connection-budget.ts',
    text: 'Math.min(wanted, own + Math.max(0, free))',
    replacement: 'Math.min(wanted, own + Math.max(wanted, free))',
    tests: ['test/driver/pull/download/connection-budget.test.ts'],
  },
  {
    name: 'tells followers that a failed download is complete',
    file: 'driver/pull/blob-puller.ts',
    text: "endWatermark(download.watermark, 'failed')",
    replacement: "endWatermark(download.watermark, 'complete')",
    tests: DOWNLOADS,
    only: 'a wrong byte',
  },
  {
    name: 'lets followers go on with bytes that turned out wrong',
    file: 'driver/pull/download/running-download.ts',
    text: `      endWatermark(watermark, 'failed')
`,
    replacement: '',
    tests: DOWNLOADS,
    only: 'other bytes',
  },
]
