import { formatProgress } from '../driver/pull/format-progress.ts'
import type { Progress } from '../driver/pull/jobs.ts'
import type { Io } from './command.ts'

const BAR_WIDTH = 24
const BAR_INTERVAL_MS = 100
const CLEAR_LINE = '\r\x1b[K'

/** A bar that is drawn on a terminal until it is disposed of; elsewhere nothing is drawn. */
export interface ProgressBar extends Disposable {
  /** Draws it from now on. */
  show(progress: () => Progress | undefined): void
  /** Takes it away; the disposal does, too. */
  clear(): void
}

export function createProgressBar(io: Pick<Io, 'stderr' | 'stderrIsTerminal'>): ProgressBar {
  let timer: NodeJS.Timeout | undefined
  const clear = () => {
    if (timer === undefined) return
    clearInterval(timer)
    timer = undefined
    io.stderr(CLEAR_LINE)
  }
  return {
    show(progress) {
      if (!io.stderrIsTerminal || timer !== undefined) return
      const draw = () => {
        const far = progress()
        if (far !== undefined) io.stderr(`${CLEAR_LINE}${progressBar(far)}`)
      }
      timer = setInterval(draw, BAR_INTERVAL_MS)
      draw()
    },
    clear,
    [Symbol.dispose]: clear,
  }
}

/** `[########................] 33 % 1.2 GiB of 3.6 GiB` */
export function progressBar(far: Progress): string {
  const share = far.total === 0 ? 0 : Math.min(1, far.done / far.total)
  const filled = Math.floor(share * BAR_WIDTH)
  const bar = '#'.repeat(filled) + '.'.repeat(BAR_WIDTH - filled)
  return `[${bar}] ${String(Math.floor(share * 100)).padStart(3)} % ${formatProgress(far)}`
}
