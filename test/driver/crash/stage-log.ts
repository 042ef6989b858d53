import { readFile } from 'node:fs/promises'
import { isSystemError } from '../../../common/errors.ts'
import type { Stage } from '../../../driver/pull/stages.ts'

/** What a driver that was started with {@link StageLog.env} notes of its stages; outlives it. */
export interface StageLog {
  /** For the driver's process. */
  readonly env: Readonly<Record<string, string>>
  /** The stages reached so far, oldest first, each with its thread: `"main"` or the thread's name. */
  hits(): Promise<readonly { readonly stage: string; readonly thread: string }[]>
}

/**
 * Makes the log of one driver.
 *
 * @param path of a file that is not there yet
 * @param dieAt where the driver is to be killed; absent: nowhere
 */
export function stageLog(
  path: string,
  dieAt?: { readonly stage: Stage; readonly hit: number },
): StageLog {
  return {
    env: {
      NODE_OPTIONS: `--import=${new URL('./pull-the-plug.ts', import.meta.url).pathname}`,
      STAGE_LOG: path,
      ...(dieAt && { DIE_AT_STAGE: dieAt.stage, DIE_AT_HIT: String(dieAt.hit) }),
    },
    async hits() {
      const lines = (await readIfThere(path)).split('\n').slice(0, -1)
      return lines.map((line) => {
        const space = line.indexOf(' ')
        return { stage: line.slice(0, space), thread: line.slice(space + 1) }
      })
    },
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return ''
    throw error
  }
}
