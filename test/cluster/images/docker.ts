import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type CommandOptions, run } from '../../support/command.ts'
import { detach, readMounts } from '../../support/mounts.ts'
import { poll } from '../../support/poll.ts'
import { startDaemon, stopDaemon } from '../daemon.ts'
import type { Places } from '../places.ts'

/** A Docker daemon of our own, for building images. Disposing stops it and removes all it has. */
export interface Docker extends AsyncDisposable {
  /** Runs `docker ARGS...`. @throws with what docker said */
  run(args: readonly string[], options?: CommandOptions): Promise<string>
}

/** Below which the containers of a build run, in every hierarchy. */
export const CONTROL_GROUP = 'oras-csi-docker'

const BUILD_TIMEOUT_MS = 15 * 60_000

/** Starts dockerd with a root and a socket of its own, and no networks: nothing of the machine is changed. */
export async function startDocker(places: Places): Promise<Docker> {
  const data = places.file('docker')
  const socket = join(places.run, 'docker.sock')
  await mkdir(data, { recursive: true, mode: 0o700 })
  await startDaemon(places, {
    name: 'dockerd',
    command: '/usr/sbin/dockerd',
    args: [
      `--host=unix://${socket}`,
      `--data-root=${data}`,
      `--exec-root=${join(places.run, 'docker')}`,
      `--pidfile=${join(places.run, 'docker.process')}`,
      `--cgroup-parent=/${CONTROL_GROUP}`,
      '--bridge=none',
      '--iptables=false',
      '--ip6tables=false',
      '--ip-forward=false',
      '--ip-masq=false',
    ],
  })
  const docker = (args: readonly string[], options: CommandOptions = {}) =>
    run('/usr/bin/docker', args, {
      timeoutMs: BUILD_TIMEOUT_MS,
      ...options,
      // Not BuildKit: Debian's dockerd has none that works without a network.
      env: { DOCKER_HOST: `unix://${socket}`, DOCKER_BUILDKIT: '0', ...options.env },
    })
  const dispose = async (): Promise<void> => {
    await stopDaemon(places, 'dockerd')
    for (const { mountPoint } of (await readMounts()).toReversed()) {
      const ours = [data, join(places.run, 'docker')].some((path) => mountPoint.startsWith(path))
      if (ours) await detach(mountPoint).catch(() => {})
    }
    await rm(data, { recursive: true, force: true })
    await rm(join(places.run, 'docker'), { recursive: true, force: true })
  }
  try {
    await poll(() => docker(['version'], { timeoutMs: 5_000 }), {
      deadlineMs: 30_000,
      what: 'dockerd',
    })
  } catch (error) {
    await dispose()
    throw error
  }
  return { run: docker, [Symbol.asyncDispose]: dispose }
}
