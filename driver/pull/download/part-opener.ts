import { isCodedError } from '../../../common/errors.ts'
import type { CallOptions } from '../../../common/oci/artifact-source.ts'
import type { BlobRoute } from '../../../common/oci/blob-route.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import type { OtherConnections, RegistrySource } from '../../../common/oci/registry-source.ts'
import type { ExchangeAnswer } from './thread-exchanges.ts'

/** A body that waits in a thread, and what of the blob it is. */
export interface OpenedPart {
  readonly exchange: number
  readonly start: number
  readonly end: number
}

/** Asks for the parts of one blob, by the rules of the source, over the connections of a thread. */
export interface PartOpener {
  /**
   * @param part with `sole`, nothing else is under way: it is tried again for long, and is the whole blob where the server has no ranges
   * @throws CodedError as the source does
   */
  open(part: {
    readonly start: number
    readonly end: number
    readonly sole: boolean
  }): Promise<OpenedPart>
}

export function createPartOpener(options: {
  readonly source: Pick<RegistrySource, 'openBlob'>
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly call: CallOptions
  /** Knows where the registry sent us: a signed URL serves the other parts too, until it expires. */
  readonly route: BlobRoute
  readonly connections: {
    send: (...request: Parameters<OtherConnections['send']>) => Promise<ExchangeAnswer>
  }
  /** Called when the server says that it is asked for too much. */
  readonly onOverload: () => void
}): PartOpener {
  const { source, reference, descriptor, call, route, connections, onOverload } = options
  let hasRanges = true

  const open = async (start: number, end: number, sole: boolean): Promise<OpenedPart> => {
    let exchange = -1
    await source.openBlob(reference, descriptor, {
      ...call,
      ...{ offset: start, end, route },
      ...(!sole && { attempts: 1 }),
      connections: {
        send: async (...request) => {
          const answer = await connections.send(...request)
          exchange = answer.exchange
          return answer
        },
      },
      onRetry: ({ overload }) => {
        if (overload) onOverload()
      },
    })
    return { exchange, start, end }
  }

  return {
    async open({ start, end, sole }) {
      try {
        if (hasRanges || !sole) return await open(start, end, sole)
      } catch (error) {
        const whole = start === 0 && end === descriptor.size
        if (!isCodedError(error, 'INVALID') || whole || !sole) throw error
        // This server cannot start in the middle; of what it sends then, the beginning is passed over.
        hasRanges = false
      }
      return open(0, descriptor.size, sole)
    },
  }
}
