import { lookup } from 'node:dns/promises'
import { isSystemError, messageOf } from '../common/errors.ts'
import { reachOf } from '../common/oci/address.ts'
import type { CallOptions } from '../common/oci/artifact-source.ts'
import { createAuthorizer } from '../common/oci/authorization.ts'
import { NO_NODE_KEYRING, type NodeKeyring } from '../common/oci/credential-candidates.ts'
import type { LabelledCredential } from '../common/oci/credentials.ts'
import type { Digest } from '../common/oci/digest.ts'
import { nameOfHost } from '../common/oci/host-name.ts'
import type { HostSource } from '../common/oci/host-source.ts'
import type { Host, LayoutDirectoryHost } from '../common/oci/hosts.ts'
import { createLayoutHttpSource } from '../common/oci/layout-http-source.ts'
import { DEFAULT_MANIFEST_LIMITS, parseManifest } from '../common/oci/manifest.ts'
import { formatProxy } from '../common/oci/proxy.ts'
import type { Reference } from '../common/oci/reference.ts'
import { createRegistryHostSource } from '../common/oci/registry-host-source.ts'
import { createTokenCache } from '../common/oci/token-cache.ts'
import type { Transport } from '../common/oci/transport.ts'
import { type TracedLookup, traceKeyring } from './traced-keyring.ts'
import { type TracedRequest, traceTransport } from './traced-transport.ts'

/** What one host was asked and what it answered. */
export interface HostCheck {
  /** As hosts.toml has it. */
  readonly name: string
  readonly kind: Host['kind']
  readonly role: 'mirror' | 'server'
  readonly mayResolve: boolean
  readonly mayPull: boolean
  /** Its answers prove who may read. */
  readonly authoritative: boolean
  /** Each with how far inside it is, e.g. `10.0.0.7 (private)`; empty behind a proxy, and for a directory. */
  readonly addresses: readonly string[]
  /** Without its user and password. */
  readonly proxy?: string
  /** Names only. */
  readonly headers: readonly string[]
  /** What may be sent, in the order it is tried; undefined where nobody asks. */
  readonly credentials?: readonly string[]
  readonly requests: readonly TracedRequest[]
  /** What credential providers said, of those that were asked. */
  readonly lookups: readonly TracedLookup[]
  /** Which credential the host took; absent: none. */
  readonly credential?: string
  /** Which of the node's credentials the host took: what they open, every pod of the node may read. */
  readonly nodeCredential?: string
  readonly names?: { readonly digest: Digest; readonly mediaType: string; readonly size: number }
  /** What another host says that the tag means, if this one has that too. */
  readonly alsoHas?: Digest
  /** Why there is no digest. */
  readonly failure?: string
}

/** What the check of a host needs. */
export interface HostCheckOptions extends CallOptions {
  readonly transport: Transport
  readonly layoutDirectories: HostSource<LayoutDirectoryHost>
  readonly isServer: boolean
  /** The node's credentials; absent: it has none. */
  readonly nodeKeyring?: NodeKeyring | undefined
}

/** Asks one host for the manifest that a reference names, once, and notes each step; what fails is part of the answer. */
export async function checkHost(
  host: Host,
  reference: Reference,
  options: HostCheckOptions,
): Promise<HostCheck> {
  const { isServer, keyring, signal } = options
  const requests: TracedRequest[] = []
  const transport = traceTransport(options.transport, (request) => requests.push(request))
  const nodeKeyring = traceKeyring(options.nodeKeyring ?? NO_NODE_KEYRING)
  const labelled = keyring.lookup(reference.registry, reference.repository)
  const usable = host.kind === 'registry' && host.takesCredentials ? labelled : []
  const check = {
    name: nameOfHost(host),
    kind: host.kind,
    role: isServer ? 'server' : 'mirror',
    mayResolve: host.capabilities.resolve,
    mayPull: host.capabilities.pull,
    authoritative: host.authoritative,
    ...(await describeWay(host, transport)),
    ...(host.kind === 'registry' && {
      credentials: [
        ...new Set(usable.map(({ label }) => label)),
        ...(options.nodeKeyring === undefined ? [] : ['what credential providers answer']),
        'anonymous access',
      ],
    }),
    requests,
    lookups: nodeKeyring.lookups,
  } as const
  try {
    const fetched = await fetchManifest(host, reference, { ...options, transport, nodeKeyring })
    const { digest, mediaType, size } = fetched.descriptor
    parseManifest(fetched.bytes)
    const credential = labelOf(usable, fetched.credential)
    // A host that asks nobody is told nothing.
    const nodeCredential = requests.at(-1)?.authorization && nodeKeyring.inUse
    return {
      ...check,
      ...(credential && { credential }),
      ...(nodeCredential && { nodeCredential }),
      names: { digest, mediaType, size },
    }
  } catch (error) {
    signal.throwIfAborted()
    return { ...check, failure: messageOf(error) }
  }
}

async function fetchManifest(
  host: Host,
  reference: Reference,
  options: HostCheckOptions & { readonly nodeKeyring: NodeKeyring },
) {
  const { transport, nodeKeyring, layoutDirectories } = options
  const settings = { transport, userAgent: USER_AGENT }
  const { bytes: maxManifestBytes } = DEFAULT_MANIFEST_LIMITS
  switch (host.kind) {
    case 'registry': {
      using tokens = createTokenCache({ transport, clientId: USER_AGENT, nowMs: Date.now })
      const client = {
        ...{ transport, nodeKeyring },
        authorizer: createAuthorizer(tokens),
      }
      const source = createRegistryHostSource({ ...settings, client, maxManifestBytes })
      return await source.manifest(host, reference, options)
    }
    case 'layout-http':
      return createLayoutHttpSource(settings).manifest(host, reference, options)
    case 'layout-directory':
      return layoutDirectories.manifest(host, reference, options)
  }
}

const USER_AGENT = 'oras-csi'

/** How a host is reached. */
async function describeWay(host: Host, transport: Transport) {
  if (host.kind === 'layout-directory') return { addresses: [], headers: [] }
  const url = new URL(host.base)
  const headers = Object.keys(host.headers)
  const proxy = host.proxy ?? transport.proxyFor(url)
  if (proxy !== undefined) return { addresses: [], headers, proxy: formatProxy(proxy) }
  try {
    const found = await lookup(url.hostname.replace(/^\[|\]$/g, ''), { all: true })
    return { addresses: found.map(({ address }) => `${address} (${reachOf(address)})`), headers }
  } catch (error) {
    if (!isSystemError(error)) throw error
    // The request says what is wrong with the name.
    return { addresses: [], headers }
  }
}

function labelOf(
  labelled: readonly LabelledCredential[],
  credential: LabelledCredential['credential'] | undefined,
): string | undefined {
  return labelled.find((one) => one.credential === credential)?.label
}
