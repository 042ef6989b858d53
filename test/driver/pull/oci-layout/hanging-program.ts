import { digestOf } from '../../../../common/oci/digest.ts'
import { createRunningDownload } from '../../../../driver/pull/download/running-download.ts'
import { createSeparateLayoutSource } from '../../../../driver/pull/oci-layout/separate-layout-source.ts'
import { directoryHost } from '../../../support/layout-hosts.ts'

// A driver in small: copies a blob of a layout, says what came of it as JSON, and ends.
const [root = '', ingest = '', text = '', deadlineMs = ''] = process.argv.slice(2)
const source = createSeparateLayoutSource({ deadlineMs: Number(deadlineMs) })
const descriptor = {
  mediaType: 'a/b',
  digest: digestOf(text),
  size: text.length,
  annotations: {},
}
process.stdout.write('{"msg":"copying"}\n')
const result = await source
  .download(directoryHost(root), {
    reference: { registry: 'layout.test', repository: 'app', tag: 'v1' },
    descriptor,
    download: createRunningDownload(ingest),
    signal: new AbortController().signal,
  })
  .catch((error: unknown) => String(error))
process.stdout.write(`${JSON.stringify({ msg: result })}\n`)
process.exit(0)
