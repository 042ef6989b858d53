/** One measured figure, and what must be reached. */
export interface Figure {
  /** With its unit, e.g. `p50 ms`. */
  readonly name: string
  readonly value: number
  /** What the value was made of, where there were several rounds: the spread. */
  readonly samples?: readonly number[]
  readonly atMost?: number
  readonly atLeast?: number
  /** Where the machine itself may stand in the way. */
  readonly ceiling?: Ceiling
}

/** How a figure stands to the fastest that this machine can be. */
export interface Ceiling {
  /** What the figure would be, were the machine's own speed reached. */
  readonly atBest: number
  /** How much of that speed was reached, e.g. `0.91`. */
  readonly share: number
}

/** One line of a table: what was measured, with its figures. */
export interface Row {
  /** The heading of the table it belongs to; rows of one table have figures of the same names. */
  readonly table: string
  readonly what: string
  readonly figures: readonly Figure[]
  /** Why there are no figures. */
  readonly failure?: string
}

/** Whether a figure is what it must be; `ceiling`: it is not, but the machine is that slow. */
export type Verdict = 'unbounded' | 'reached' | 'ceiling' | 'missed'

/** Where the machine makes a ratio impossible, so much of its speed is enough. */
export const ENOUGH_OF_CEILING = 0.85

/** Says whether a figure is what it must be. NaN never is. */
export function judge(figure: Figure): Verdict {
  const { value, atMost, atLeast, ceiling } = figure
  if (atMost === undefined && atLeast === undefined) return 'unbounded'
  if (isWithin(figure, value)) return 'reached'
  const isImpossible = ceiling !== undefined && !isWithin(figure, ceiling.atBest)
  return isImpossible && ceiling.share >= ENOUGH_OF_CEILING ? 'ceiling' : 'missed'
}

/** The figures that are not what they must be, and by how much, e.g. `start: median ms is 812, must be <= 700: 16 % off`. */
export function missed(rows: readonly Row[]): string[] {
  return rows.flatMap(({ table, what, figures, failure }) => [
    ...(failure === undefined ? [] : [`${table}: ${what}: ${failure}`]),
    ...figures
      .filter((figure) => judge(figure) === 'missed')
      .map(
        (figure) => `${table}: ${what}: ${figure.name} is ${miss(figure)}${besideCeiling(figure)}`,
      ),
  ])
}

/** What a figure must be, e.g. `>= 1.3`; empty when it is only told. */
export function boundOf({ atMost, atLeast }: Figure): string {
  return [
    ...(atLeast === undefined ? [] : [`>= ${formatNumber(atLeast)}`]),
    ...(atMost === undefined ? [] : [`<= ${formatNumber(atMost)}`]),
  ].join(', ')
}

/** Three digits that count, and no more of a fraction than that. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  return String(Number(value.toPrecision(3)))
}

function isWithin({ atMost, atLeast }: Figure, value: number): boolean {
  return value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? 0)
}

function miss(figure: Figure): string {
  const { value, atMost, atLeast } = figure
  const bound = atMost !== undefined && !(value <= atMost) ? atMost : (atLeast ?? 0)
  const off = Math.abs(value / bound - 1) * 100
  return `${formatNumber(value)}, must be ${boundOf(figure)}: ${formatNumber(off)} % off`
}

function besideCeiling({ ceiling }: Figure): string {
  if (ceiling === undefined) return ''
  return ` (the machine allows ${formatNumber(ceiling.atBest)}; ${Math.round(ceiling.share * 100)} % of its speed reached)`
}
