import process from 'node:process'
import { createLayoutSource } from '../../../common/oci/layout-source.ts'
import { dieWithParent } from '../../linux/parent-death.ts'
import { packFailure } from '../download/failure-data.ts'
import { blockingFileReader } from './blocking-files.ts'
import { copyBlob } from './copy-blob.ts'
import {
  PIECE_BYTES,
  type ReaderAnswer,
  type ReaderReply,
  type ReaderRequest,
} from './reader-message.ts'

// The entry of a process that reads layouts, one question at a time, and may hang where they are. Its arguments are where that is, how
// large a manifest may be, and who started it.
const [root = '', maxManifestBytes, parent] = process.argv.slice(2)
dieWithParent(Number(parent))

const layout = createLayoutSource({
  root,
  files: blockingFileReader,
  maxManifestBytes: Number(maxManifestBytes),
})
/** Who gives up kills this process. */
const { signal } = new AbortController()

function reply(message: ReaderReply): void {
  process.send?.(message)
}

async function answer(request: ReaderRequest): Promise<ReaderAnswer> {
  const { reference } = request
  switch (request.kind) {
    case 'resolve':
      return { kind: 'resolved', descriptor: await layout.resolve(reference, signal) }
    case 'manifest':
      return { kind: 'manifest', fetched: await layout.manifest(reference, signal) }
    case 'read': {
      const { digest, offset } = request
      const chunks: Uint8Array[] = []
      let length = 0
      for await (const chunk of layout.openBlob(reference, digest, { signal, offset })) {
        chunks.push(chunk)
        length += chunk.length
        if (length >= PIECE_BYTES) break
      }
      return { kind: 'piece', bytes: Buffer.concat(chunks) }
    }
    case 'copy':
      return {
        kind: 'copied',
        outcome: await copyBlob(layout, request, (received, prefix) =>
          reply({ kind: 'copying', received, prefix }),
        ),
      }
  }
}

process.on('message', (request: ReaderRequest) => {
  answer(request).then(reply, (error: unknown) =>
    reply({ kind: 'failed', failure: packFailure(error) }),
  )
})
// Whoever asks is gone.
process.on('disconnect', () => process.exit(0))
reply({ kind: 'ready' })
