import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isSystemError } from '../../common/errors.ts'

/** What a process holds that it may leak. */
export interface ProcessFacts {
  /** Open descriptors that are no sockets. */
  readonly files: number
  readonly sockets: number
  readonly threads: number
  /** Resident memory in MB. */
  readonly memoryMb: number
}

/** Looks at a process from outside. */
export function readProcessFacts(pid: number): ProcessFacts {
  const kinds = descriptors(pid)
  const sockets = kinds.filter((kind) => kind.startsWith('socket:')).length
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const memoryKb = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1])
  return {
    ...{ files: kinds.length - sockets, sockets },
    threads: readdirSync(`/proc/${pid}/task`).length,
    memoryMb: Math.round(memoryKb / 1024),
  }
}

/** What each descriptor is, e.g. `socket:[123]` or a path. */
export function descriptors(pid: number): readonly string[] {
  const directory = `/proc/${pid}/fd`
  return readdirSync(directory).flatMap((name) => {
    try {
      return [readlinkSync(`${directory}/${name}`)]
    } catch (error) {
      // Closed since.
      if (isSystemError(error, 'ENOENT')) return []
      throw error
    }
  })
}
