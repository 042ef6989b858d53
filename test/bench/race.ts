import type { Lap } from './stopwatch.ts'

/** Who takes part in a race. */
export interface Contestant {
  /** e.g. `oras -c 8` */
  readonly name: string
  /** Does the work once. What is made ready and cleaned up for it is not in the lap's time. */
  lap(): Promise<Lap>
}

/** The laps of each contestant, by name; the same index is the same round. */
export type RaceResult = ReadonlyMap<string, readonly Lap[]>

/**
 * Lets the contestants run in turn (a, b, c, a, b, c, ...), so that what else happens on the machine happens to all of them.
 *
 * @param options.warmUps how many rounds come first that do not count
 * @param options.between made before each lap
 */
export async function race(
  contestants: readonly Contestant[],
  options: {
    readonly rounds: number
    readonly warmUps: number
    readonly between: () => Promise<void>
  },
): Promise<RaceResult> {
  const laps = new Map<string, Lap[]>(contestants.map(({ name }) => [name, []]))
  for (let round = -options.warmUps; round < options.rounds; round += 1) {
    for (const { name, lap } of contestants) {
      await options.between()
      const taken = await lap()
      if (round >= 0) laps.get(name)?.push(taken)
    }
  }
  return laps
}

/** One value of each lap; none for a contestant that did not take part or does not tell it. */
export function samplesOf(
  result: RaceResult,
  name: string,
  value: (lap: Lap) => number | undefined,
): number[] {
  return (result.get(name) ?? []).map(value).filter((sample) => sample !== undefined)
}
