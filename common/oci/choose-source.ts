import { nameOfHost } from './host-name.ts'
import type { HostSource, HostSources, OpenedBlob } from './host-source.ts'
import type { Host, LayoutDirectoryHost } from './hosts.ts'
import { RequestFailure } from './request-failure.ts'

/** The methods of a source for one host of its kind. */
export interface BoundSource {
  resolve(...call: CallOf<'resolve'>): ReturnType<HostSource<Host>['resolve']>
  manifest(...call: CallOf<'manifest'>): ReturnType<HostSource<Host>['manifest']>
  openBlob(...call: CallOf<'openBlob'>): Promise<OpenedBlob>
  hasBlob: ((...call: CallOf<'hasBlob'>) => Promise<void>) | undefined
}

type CallOf<K extends keyof HostSource<Host>> =
  Parameters<Required<HostSource<Host>>[K]> extends [Host, ...infer Rest] ? Rest : never

/** Gives for each host the source of its kind. */
export function chooseSource(sources: HostSources): (host: Host) => BoundSource {
  return (host) => {
    switch (host.kind) {
      case 'registry':
        return bind(sources.registry, host)
      case 'layout-directory':
        return bind(sources['layout-directory'], host)
      case 'layout-http':
        return bind(sources['layout-http'], host)
    }
  }
}

function bind<H extends Host>(source: HostSource<H>, host: H): BoundSource {
  return {
    resolve: (...call) => source.resolve(host, ...call),
    manifest: (...call) => source.manifest(host, ...call),
    openBlob: (...call) => source.openBlob(host, ...call),
    hasBlob: source.hasBlob && ((...call) => source.hasBlob?.(host, ...call) ?? Promise.resolve()),
  }
}

/** For programs that read no directories. */
export const NO_LAYOUT_DIRECTORIES: HostSource<LayoutDirectoryHost> = {
  resolve: (host) => refuseDirectory(host),
  manifest: (host) => refuseDirectory(host),
  openBlob: (host) => refuseDirectory(host),
}

async function refuseDirectory(host: LayoutDirectoryHost): Promise<never> {
  throw new RequestFailure('INVALID', `"${nameOfHost(host)}" cannot be read by this program`)
}
