import { readdir, readFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { basename } from 'node:path'
import process from 'node:process'
import { readMounts } from '../support/mounts.ts'

/** Where the figures come from. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  /** e.g. `ext4 without a journal on /dev/vda`. */
  readonly disk: string
}

/** Describes this machine, and the disk that a directory is on. */
export async function describeMachine(directory: string): Promise<Machine> {
  return {
    cpu: await cpuModel(),
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    disk: await describeDisk(directory),
  }
}

/** One line of it. */
export function formatMachine({ cpu, cores, memoryGib, kernel, node, disk }: Machine): string {
  return `${cores} x ${cpu}, ${memoryGib} GiB, Linux ${kernel}, Node ${node}, ${disk}`
}

/** The model, and whether it hashes in hardware: that decides more than its clock. */
async function cpuModel(): Promise<string> {
  const flags = /^flags\s*:(.*)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? ''
  const sha = flags.includes(' sha_ni') ? ' with SHA instructions' : ''
  return `${cpus()[0]?.model ?? 'unknown CPU'}${sha}`
}

async function describeDisk(directory: string): Promise<string> {
  const mounts = (await readMounts()).filter(
    ({ mountPoint }) => mountPoint === '/' || `${directory}/`.startsWith(`${mountPoint}/`),
  )
  const longest = Math.max(...mounts.map(({ mountPoint }) => mountPoint.length))
  const mount = mounts.findLast(({ mountPoint }) => mountPoint.length === longest)
  if (mount === undefined) return 'unknown disk'
  const hasJournal = await isJournaled(mount.source)
  const journal = mount.type === 'ext4' && !hasJournal ? ' without a journal' : ''
  return `${mount.type}${journal} on ${mount.source}`
}

async function isJournaled(device: string): Promise<boolean> {
  const journals = await readdir('/proc/fs/jbd2').catch(() => [])
  return journals.some((name) => name.startsWith(`${basename(device)}-`))
}
