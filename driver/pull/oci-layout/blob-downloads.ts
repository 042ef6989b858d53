import { createBlobRoute } from '../../../common/oci/blob-route.ts'
import type { Hosts } from '../../../common/oci/hosts.ts'
import { toPullError } from '../../../common/oci/registry-client.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import type { DownloadThreads } from '../download/download-threads.ts'
import type { SeparateLayoutSource } from './separate-layout-source.ts'

/**
 * Has big blobs fetched in the way that suits who has them: copied from a directory of OCI layouts by a process that may hang, downloaded by
 * a thread from everywhere else. A directory that does not have it, or cannot be read, is passed over when there are other hosts. Disposing disposes of the threads.
 */
export function createBlobDownloads({
  hosts,
  layouts,
  threads,
}: {
  readonly hosts: Hosts
  readonly layouts: Pick<SeparateLayoutSource, 'download'>
  readonly threads: DownloadThreads
}): DownloadThreads {
  return {
    ...threads,
    async download(wanted) {
      const { reference, route = createBlobRoute() } = wanted
      const { hosts: all } = await hosts.lookup(reference.registry)
      const [host, ...others] = route.order(
        all.filter(({ capabilities }) => capabilities.pull),
        0,
      )
      if (host?.kind !== 'layout-directory') return threads.download(wanted)
      try {
        return await layouts.download(host, wanted)
      } catch (error) {
        if (!(error instanceof RequestFailure)) throw error
        // Whoever sent wrong bytes is not to be asked again.
        if (error.code === 'CORRUPT') route.worked(host, 0, undefined)
        else if (others.length > 0) return threads.download({ ...wanted, route })
        throw toPullError(error, reference)
      }
    },
  }
}
