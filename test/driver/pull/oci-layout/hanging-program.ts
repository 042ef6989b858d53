import { ANONYMOUS } from '../../../../common/oci/credentials.ts'
import { digestOf } from '../../../../common/oci/digest.ts'
import { createRunningDownload } from '../../../../driver/pull/download/running-download.ts'
import { createSeparateLayoutSource } from '../../../../driver/pull/oci-layout/separate-layout-source.ts'

// A driver in small: copies a blob of a layout, says what came of it as JSON, and ends.
const [root = '', ingest = '', text = '', deadlineMs = ''] = process.argv.slice(2)
const source = createSeparateLayoutSource({ root, deadlineMs: Number(deadlineMs) })
const descriptor = {
  mediaType: 'a/b',
  digest: digestOf(text),
  size: text.length,
  annotations: {},
}
process.stdout.write('{"msg":"copying"}\n')
const result = await source
  .download({
    reference: { registry: 'layout.test', repository: 'app', tag: 'v1' },
    descriptor,
    download: createRunningDownload(ingest),
    keyring: ANONYMOUS,
    signal: new AbortController().signal,
  })
  .catch((error: unknown) => String(error))
process.stdout.write(`${JSON.stringify({ msg: result })}\n`)
process.exit(0)
