import { spawn } from 'node:child_process'
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { poll } from '../support/poll.ts'
import type { Places } from './places.ts'

/** A process that outlives the one that starts it. Its log is `<log>/<name>.log`. */
export interface Daemon {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** A process number is given to others in time; with the time of its start it names one process for good. */
interface PidFile {
  readonly pid: number
  readonly startTime: string
}

const STOP_DEADLINE_MS = 15_000

/** Starts a daemon, unless it runs. */
export async function startDaemon(places: Places, daemon: Daemon): Promise<void> {
  if (await isRunning(places, daemon.name)) return
  await mkdir(places.run, { recursive: true })
  await mkdir(places.log, { recursive: true })
  await using log = await open(join(places.log, `${daemon.name}.log`), 'a')
  const child = spawn(daemon.command, [...daemon.args], {
    cwd: places.root,
    // biome-ignore lint/style/noProcessEnv: the search path is the process's own
    env: { PATH: process.env['PATH'] ?? '', ...daemon.env },
    stdio: ['ignore', log.fd, log.fd],
    detached: true,
  })
  const started = Promise.withResolvers<void>()
  child.once('spawn', () => started.resolve())
  child.once('error', started.reject)
  await started.promise
  child.unref()
  const pid = child.pid ?? 0
  const record: PidFile = { pid, startTime: (await startTimeOf(pid)) ?? '' }
  await writeFile(pidFileOf(places, daemon.name), JSON.stringify(record))
}

/** Stops a daemon: SIGTERM, and SIGKILL if that does not help. Does nothing when it does not run. */
export async function stopDaemon(
  places: Places,
  name: string,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<void> {
  const record = await readPidFile(places, name)
  if (record !== undefined && (await runs(record))) {
    process.kill(record.pid, signal)
    await poll(async () => !(await runs(record)), {
      deadlineMs: STOP_DEADLINE_MS,
      what: `${name} to end`,
    }).catch(async () => {
      process.kill(record.pid, 'SIGKILL')
      await poll(async () => !(await runs(record)), { deadlineMs: 5_000, what: `${name} to die` })
    })
  }
  await rm(pidFileOf(places, name), { force: true })
}

/** Answers whether a daemon runs. */
export async function isRunning(places: Places, name: string): Promise<boolean> {
  const record = await readPidFile(places, name)
  return record !== undefined && (await runs(record))
}

/** The process number of a daemon that runs. */
export async function pidOf(places: Places, name: string): Promise<number | undefined> {
  const record = await readPidFile(places, name)
  return record !== undefined && (await runs(record)) ? record.pid : undefined
}

/** The end of a daemon's log, for messages. */
export async function logOf(places: Places, name: string): Promise<string> {
  const text = await readFile(join(places.log, `${name}.log`), 'utf8').catch(() => '')
  return text.split('\n').slice(-30).join('\n')
}

async function runs(record: PidFile): Promise<boolean> {
  return (await startTimeOf(record.pid)) === record.startTime
}

/** Undefined when there is no such process; a zombie is none: process 1 may take its time to bury it. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name of the program stands in parentheses and may hold spaces.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' || state === 'X' ? undefined : fields[START_TIME - 4]
}

/** Number of the field in proc_pid_stat(5); the state is number 3. */
const START_TIME = 22

function pidFileOf(places: Places, name: string): string {
  return join(places.run, `${name}.pid`)
}

async function readPidFile(places: Places, name: string): Promise<PidFile | undefined> {
  const text = await readFile(pidFileOf(places, name), 'utf8').catch(() => '')
  return text === '' ? undefined : JSON.parse(text)
}
