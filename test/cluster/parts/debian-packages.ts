import { chmod, rm, writeFile } from 'node:fs/promises'
import { exists } from '../../support/cache-directory.ts'
import { run } from '../../support/command.ts'

/** A program and the Debian package that brings it. */
interface Program {
  /** It, or another file of the package. */
  readonly path: string
  readonly debianPackage: string
}

const PROGRAMS: readonly Program[] = [
  { path: '/usr/bin/containerd', debianPackage: 'containerd' },
  { path: '/usr/sbin/runc', debianPackage: 'runc' },
  { path: '/usr/lib/cni/bridge', debianPackage: 'containernetworking-plugins' },
  { path: '/usr/bin/etcd', debianPackage: 'etcd-server' },
  { path: '/usr/bin/docker-registry', debianPackage: 'docker-registry' },
  { path: '/usr/sbin/iptables', debianPackage: 'iptables' },
  { path: '/usr/sbin/dockerd', debianPackage: 'docker.io' },
  { path: '/usr/sbin/debootstrap', debianPackage: 'debootstrap' },
  // The package busybox brings a program of the same name that wants a C library.
  { path: '/usr/share/doc/busybox-static/copyright', debianPackage: 'busybox-static' },
  { path: '/usr/bin/gcc', debianPackage: 'gcc' },
  { path: '/usr/include/signal.h', debianPackage: 'libc6-dev' },
  { path: '/usr/bin/javac', debianPackage: 'openjdk-17-jdk-headless' },
  { path: '/usr/sbin/ip', debianPackage: 'iproute2' },
  { path: '/usr/bin/mount', debianPackage: 'mount' },
  { path: '/usr/bin/curl', debianPackage: 'curl' },
]

/** Asked by Debian's packages before they start a service; 101 means no. @see policy-rc.d in invoke-rc.d(8) */
const POLICY = '/usr/sbin/policy-rc.d'

/**
 * Installs the programs the cluster is made of, where they are missing. None of them is started.
 *
 * @returns what was installed, e.g. `["containerd"]`
 * @throws when something is missing that cannot be installed, naming it
 */
export async function installDebianPackages(): Promise<readonly string[]> {
  const missing: string[] = []
  for (const { path, debianPackage } of PROGRAMS) {
    if (!(await exists(path))) missing.push(debianPackage)
  }
  if (missing.length === 0) return missing
  if (process.getuid?.() !== 0 || !(await exists('/usr/bin/apt-get'))) {
    throw new Error(`Cannot install ${missing.join(', ')}: that takes root on Debian or Ubuntu`)
  }
  const ours = !(await exists(POLICY))
  if (ours) {
    await writeFile(POLICY, '#!/bin/sh\nexit 101\n')
    await chmod(POLICY, 0o755)
  }
  try {
    const apt = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: 600_000 }
    await run('apt-get', ['update', '-qq'], apt)
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], apt)
  } finally {
    if (ours) await rm(POLICY)
  }
  return missing
}
