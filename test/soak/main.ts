import { integer, optional, parseFlags, text } from '../../common/flags.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { describeRun, missingIn } from './report.ts'
import { soak } from './soak.ts'

const FLAGS = {
  seconds: { value: 'COUNT', doc: 'for everything', default: '120', parse: integer(10, 100_000) },
  seed: { value: 'NUMBER', doc: 'default: a new one', default: '', parse: text },
  steps: {
    value: 'STORM+CALM',
    doc: 'so many steps, e.g. 40+30, instead of a time: to do the same again',
    default: '',
    parse: optional(parseSteps),
  },
} as const

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

/** @throws Error when it is not two numbers */
function parseSteps(value: string) {
  const [, storm, calm] = /^(\d+)\+(\d+)$/.exec(value) ?? []
  if (storm === undefined || calm === undefined) throw new Error('expected e.g. 40+30')
  return { storm: Number(storm), calm: Number(calm) }
}

/**
 * Lets a driver publish and unpublish at random for some minutes, as root.
 *
 *     npm run soak [-- --seconds COUNT --seed NUMBER]
 */
async function main(argv: readonly string[]): Promise<number> {
  const flags = parseFlags({ usage: 'npm run soak -- [FLAGS]', flags: FLAGS, argv, env: {} })
  if (flags.help) {
    say(flags.text)
    return 0
  }
  const { seconds, steps } = flags.values
  const why = await whyNoMounts()
  if (why !== undefined) {
    say(`Cannot run: ${why}`)
    return 1
  }
  const seed = flags.values.seed === '' ? Date.now() % 2 ** 31 : Number(flags.values.seed)
  say(`Soaking for ${seconds} s, seed ${seed}`)
  const result = await soak({ seed, seconds, say, ...(steps !== undefined && { steps }) })
  for (const line of describeRun(result)) say(line)
  const again = `--seed ${seed} --steps ${result.steps.storm}+${result.steps.calm}`
  if (result.violation !== undefined) {
    say(`The last steps:\n${result.lastSteps.join('\n')}`)
    say(`FAULT, seed ${seed} (${again}): ${result.violation}`)
    return 1
  }
  const missing = steps === undefined ? missingIn(result, seconds) : []
  if (missing.length > 0) {
    say(`FAULT, seed ${seed}: the run proves nothing, it had no ${missing.join(', no ')}`)
    return 1
  }
  say(`All well (${again})`)
  return 0
}

process.exitCode = await main(process.argv.slice(2))
