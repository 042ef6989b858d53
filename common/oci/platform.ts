import { CodedError } from '../errors.ts'
import type { Descriptor, Platform } from './descriptor.ts'
import type { ImageIndex } from './manifest.ts'

const PART = /^[A-Za-z0-9_.-]{1,64}$/

/**
 * Reads `os/arch[/variant]`, e.g. `linux/arm64/v8`; other spellings of an architecture become Go's (`x86_64` is `amd64`).
 *
 * @throws INVALID
 */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/')
  const parts = [os, architecture, variant ?? 'none']
  if (
    os === undefined ||
    architecture === undefined ||
    rest.length > 0 ||
    !parts.every((part) => part !== undefined && PART.test(part))
  ) {
    throw new CodedError(
      'INVALID',
      `Invalid platform ${JSON.stringify(text.slice(0, 200))}: expected os/arch or os/arch/variant, e.g. "linux/arm64"`,
    )
  }
  return normalize({ os, architecture, ...(variant !== undefined && { variant }) })
}

/** Writes `os/arch[/variant]`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`
}

/**
 * The platform of the machine this process runs on, from the values of `node:process`. A 32-bit ARM machine counts as v7:
 * Node has no builds for less.
 */
export function nodePlatform(
  arch: string = process.arch,
  platform: string = process.platform,
): Platform {
  return normalize({
    os: platform === 'win32' ? 'windows' : platform,
    architecture: arch,
    ...(arch === 'arm' && { variant: 'v7' }),
  })
}

/**
 * Chooses the manifest of an index for a platform. Exactly that platform is best; then, as containerd does, what runs
 * there too, the newest first: arm/v7 runs v6 and v5, arm64/v9 runs v8, amd64/v3 runs v2 and v1; at last the 32-bit
 * architecture of amd64 and arm64. Where no child has a platform and there is only one, that.
 *
 * Children `unknown/unknown` are attestations about the others and do not count.
 *
 * @throws INVALID listing the platforms there are
 * @see https://github.com/containerd/platforms
 */
export function choosePlatform(index: ImageIndex, wanted: Platform): Descriptor {
  const candidates = index.manifests.filter((child) => !isAttestation(child))
  const [first, ...others] = candidates
  if (first !== undefined && others.length === 0 && first.platform === undefined) return first
  for (const acceptable of fallbacks(normalize(wanted))) {
    const found = candidates.find(
      ({ platform }) => platform !== undefined && samePlatform(normalize(platform), acceptable),
    )
    if (found !== undefined) return found
  }
  throw new CodedError(
    'INVALID',
    `No manifest for platform "${formatPlatform(wanted)}": the index has ${listPlatforms(candidates)}`,
  )
}

function isAttestation({ platform }: Descriptor): boolean {
  return platform?.os === 'unknown' && platform.architecture === 'unknown'
}

function listPlatforms(children: readonly Descriptor[]): string {
  const names = new Set(
    children.map(({ platform }) =>
      platform ? formatPlatform(platform) : 'one without a platform',
    ),
  )
  if (names.size === 0) return 'no manifests'
  const shown = [...names].slice(0, 20)
  const more = names.size > shown.length ? ` and ${names.size - shown.length} more` : ''
  return `${shown.join(', ')}${more}`
}

function samePlatform(a: Platform, b: Platform): boolean {
  return a.os === b.os && a.architecture === b.architecture && a.variant === b.variant
}

/** What a machine of this platform runs, its own first. */
function fallbacks(platform: Platform): readonly Platform[] {
  const { os, architecture, variant } = platform
  const ladder = ladderOf(architecture, variant ?? firstVariant(architecture))
  const own = ladder?.map((step) => normalize({ os, architecture, variant: step })) ?? [platform]
  switch (architecture) {
    case 'amd64':
      return [...own, { os, architecture: '386' }]
    case 'arm64':
      return [...own, ...fallbacks({ os, architecture: 'arm', variant: 'v8' })]
    default:
      return own
  }
}

function firstVariant(architecture: string): string {
  return architecture === 'arm64' ? 'v8' : architecture === 'arm' ? 'v7' : 'v1'
}

function ladderOf(architecture: string, variant: string): readonly string[] | undefined {
  const [, majorText, minorText = '0'] = /^v(\d{1,2})(?:\.(\d{1,2}))?$/.exec(variant) ?? []
  if (majorText === undefined) return undefined
  const major = Number(majorText)
  const minor = Number(minorText)
  switch (architecture) {
    case 'arm':
      return steps(major, 5, (at) => `v${at}`)
    case 'amd64':
      return steps(major, 1, (at) => `v${at}`)
    case 'arm64':
      return major === 9
        ? [...minorSteps(9, minor), ...minorSteps(8, minor + 5)]
        : minorSteps(major, minor)
    default:
      return undefined
  }
}

// Arm: v9.0 diverged from v8.5, so v9.x runs what v8.(x + 5) runs.
function minorSteps(major: number, minor: number): readonly string[] {
  return steps(minor, 0, (at) => (at === 0 ? `v${major}` : `v${major}.${at}`))
}

function steps(from: number, to: number, write: (at: number) => string): readonly string[] {
  const list = [write(from)]
  for (let at = from - 1; at >= to; at--) list.push(write(at))
  return list
}

/** One spelling for what is the same: Go's names, and no variant where it is the architecture's first (arm64/v8, amd64/v1). */
function normalize({ os, architecture, variant }: Platform): Platform {
  const system = os.toLowerCase() === 'macos' ? 'darwin' : os.toLowerCase()
  const cpu = architecture.toLowerCase()
  const level = variant?.toLowerCase()
  switch (cpu) {
    case 'x86_64':
    case 'x86-64':
    case 'x64':
    case 'amd64':
      return withVariant(system, 'amd64', level === 'v1' ? undefined : level)
    case 'ia32':
    case 'i386':
    case 'i686':
    case '386':
      return withVariant(system, '386', undefined)
    case 'aarch64':
    case 'arm64':
      return withVariant(system, 'arm64', level === '8' || level === 'v8' ? undefined : level)
    case 'armhf':
      return withVariant(system, 'arm', 'v7')
    case 'armel':
      return withVariant(system, 'arm', 'v6')
    case 'arm':
      return withVariant(system, 'arm', level === undefined ? 'v7' : prefixed(level))
    default:
      return withVariant(system, cpu, level)
  }
}

function prefixed(level: string): string {
  return /^\d/.test(level) ? `v${level}` : level
}

function withVariant(os: string, architecture: string, variant: string | undefined): Platform {
  return { os, architecture, ...(variant !== undefined && { variant }) }
}
