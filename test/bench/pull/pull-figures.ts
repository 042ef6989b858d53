import { median } from '../measure.ts'
import { type RaceResult, samplesOf } from '../race.ts'
import type { Figure } from '../row.ts'
import type { Lap } from '../stopwatch.ts'
import { FLOOR, ORAS, ORAS_8, ORAS_CLI, OURS } from './contestants.ts'

/** What a pull must reach; nothing where it is only told. */
export interface PullBounds {
  /** How many times as fast as each `oras pull`. */
  readonly minSpeedup?: number
  /** Whether that holds against `--concurrency 8`, too; default true. */
  readonly againstConcurrent?: boolean
  /** How many times as long as the floor. */
  readonly maxOfFloor?: number
}

/** "Never slower": the two cannot be told apart on a machine that does other things, too. */
export const NEVER_SLOWER = 1.05

// The kubelet unregisters a plugin that does not answer within a second.
const MAX_EVENT_LOOP = { p99Ms: 50, maxMs: 200 }
const MAX_PEAK_MB = 200

/**
 * The figures of a race between us, oras, and who verifies nothing. Times are medians, ratios medians of those of each round.
 *
 * @param ceilingSeconds how fast this machine could be
 */
export function pullFigures(
  result: RaceResult,
  bounds: PullBounds,
  ceilingSeconds: number,
): Figure[] {
  const seconds = (name: string) => samplesOf(result, name, (lap) => lap.seconds)
  const ours = seconds(OURS)
  const theirs = [ORAS, ORAS_8, ORAS_CLI].filter((name) => seconds(name).length > 0)
  const floor = seconds(FLOOR)
  const share = ceilingSeconds / median(ours)
  return [
    medianFigure('ours s', ours),
    ...theirs.map((name) => medianFigure(`${name} s`, seconds(name))),
    medianFigure('floor s', floor),
    { name: 'ceiling s', value: ceilingSeconds },
    ...theirs.map((name) => {
      const speedup = medianFigure(`x as fast as ${name}`, ratios(seconds(name), ours))
      const isBound = name !== ORAS_8 || bounds.againstConcurrent !== false
      // What oras does is possible here: no ceiling excuses being slower.
      const hasExcuse = speedup.value >= 1 / NEVER_SLOWER
      return {
        ...speedup,
        ...(isBound && bounds.minSpeedup !== undefined && { atLeast: bounds.minSpeedup }),
        ...(hasExcuse && { ceiling: { atBest: median(seconds(name)) / ceilingSeconds, share } }),
      }
    }),
    {
      ...medianFigure("x the floor's time", ratios(ours, floor)),
      ...(bounds.maxOfFloor !== undefined && { atMost: bounds.maxOfFloor }),
      ceiling: { atBest: ceilingSeconds / median(floor), share },
    },
    ...costs(result),
  ]
}

/** What it costs the driver, and oras. */
function costs(result: RaceResult): Figure[] {
  const of = (name: string, value: (lap: Lap) => number | undefined) =>
    samplesOf(result, name, value)
  const peaks = of(OURS, (lap) => lap.peakMb)
  const late = of(OURS, (lap) => lap.eventLoop?.p99Ms)
  const latest = of(OURS, (lap) => lap.eventLoop?.maxMs)
  return [
    medianFigure(
      'ours CPU s',
      of(OURS, (lap) => lap.cpuSeconds),
    ),
    medianFigure(
      'oras CPU s',
      of(ORAS, (lap) => lap.cpuSeconds),
    ),
    { name: 'ours peak MB', value: Math.max(...peaks), samples: peaks, atMost: MAX_PEAK_MB },
    medianFigure(
      'oras peak MB',
      of(ORAS, (lap) => lap.peakMb),
    ),
    { ...medianFigure('event loop p99 ms', late), atMost: MAX_EVENT_LOOP.p99Ms },
    {
      name: 'event loop max ms',
      value: Math.max(...latest),
      samples: latest,
      atMost: MAX_EVENT_LOOP.maxMs,
    },
  ]
}

/** A figure with its spread. */
export function medianFigure(name: string, samples: readonly number[]): Figure {
  return { name, value: median(samples), samples }
}

/** Of each round. */
export function ratios(dividends: readonly number[], divisors: readonly number[]): number[] {
  return dividends.map((dividend, round) => dividend / (divisors[round] ?? Number.NaN))
}
