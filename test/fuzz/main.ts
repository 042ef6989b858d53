import pLimit from 'p-limit'
import { integer, parseFlags, text } from '../../common/flags.ts'
import { fuzzTarget } from './fuzz.ts'
import { TARGETS } from './targets.ts'

// Two cores.
const LANES = 2

const FLAGS = {
  seconds: { value: 'COUNT', doc: 'of all targets', default: '20', parse: integer(1, 100_000) },
  seed: { value: 'NUMBER', doc: 'default: a new one', default: '', parse: text },
  target: { value: 'NAME', doc: 'one target only', default: '', parse: text },
} as const

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

/**
 * Feeds mutated inputs to everything that reads what strangers write.
 *
 *     npm run fuzz [-- --seconds COUNT --seed NUMBER --target NAME]
 */
async function main(argv: readonly string[]): Promise<number> {
  const flags = parseFlags({ usage: 'npm run fuzz -- [FLAGS]', flags: FLAGS, argv, env: {} })
  if (flags.help) {
    say(flags.text)
    return 0
  }
  const { seconds, target } = flags.values
  const seed = flags.values.seed === '' ? Date.now() % 2 ** 31 : Number(flags.values.seed)
  const chosen = TARGETS.filter(({ name }) => target === '' || name === target)
  if (chosen.length === 0) {
    say(`No such target; there are: ${TARGETS.map(({ name }) => name).join(', ')}`)
    return 2
  }
  const lanes = Math.min(LANES, chosen.length)
  const each = (seconds * lanes) / chosen.length
  say(`Fuzzing ${chosen.length} targets for ${each.toFixed(1)} s each, seed ${seed}`)
  const limit = pLimit(lanes)
  const results = await Promise.all(
    chosen.map(({ name }) =>
      limit(async () => {
        const result = await fuzzTarget({
          targets: new URL('./targets.ts', import.meta.url).href,
          ...{ name, seed, seconds: each },
        })
        if (result.kind === 'done') {
          const refused = Object.entries(result.refused).map(([code, count]) => `${count} ${code}`)
          const slowest = `slowest ${result.slowestMs.toFixed(0)} ms`
          say(
            `${name}: ${result.iterations} inputs, ${slowest}, refused ${refused.join(', ') || 'none'}`,
          )
        } else {
          say(`${name}: FAULT at input ${result.iterations}, seed ${seed}: ${result.error}`)
          say(`The input in base64:\n${Buffer.from(result.input).toString('base64')}`)
        }
        return result.kind
      }),
    ),
  )
  return results.includes('fault') ? 1 : 0
}

process.exitCode = await main(process.argv.slice(2))
