import { writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import process from 'node:process'
import { toCodedError } from '../../common/errors.ts'
import { bool, parseFlags, text } from '../../common/flags.ts'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { measureDriver } from './driver.ts'
import { formatTable, missed } from './measure.ts'
import { measureWebhook } from './webhook.ts'

const FLAGS = {
  check: { doc: 'exit with 1 when a figure misses its bound', parse: bool },
  json: { value: 'FILE', doc: 'write the rows as JSON, too', default: '', parse: text },
} as const

try {
  await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : toCodedError(error).message}\n`)
  process.exitCode = 2
}

/** Measures webhook and driver as processes, and prints what was measured against what must be reached. */
async function main(): Promise<void> {
  const flags = parseFlags({
    usage: 'npm run bench -- [FLAGS]',
    flags: FLAGS,
    argv: process.argv.slice(2),
    env: process.env,
  })
  if (flags.help) {
    process.stdout.write(flags.text)
    return
  }
  const machine = `${cpus().length} x ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`
  await using cache = await temporaryDirectory()
  const env = { NODE_COMPILE_CACHE: cache.path }
  await fillCompileCache(env)
  const rows = [...(await measureDriver(env)), ...(await measureWebhook(env))]
  process.stdout.write(`${machine}\n\n${formatTable(rows)}\n`)
  const { check, json } = flags.values
  if (json !== '') await writeFile(json, JSON.stringify({ machine, rows }, null, 2))
  const misses = missed(rows)
  if (check && misses.length > 0) {
    process.stderr.write(`\nMissed:\n${misses.join('\n')}\n`)
    process.exitCode = 1
  }
}

/** As the image's build does: Node writes its cache when a process ends by itself. */
async function fillCompileCache(env: Readonly<Record<string, string>>): Promise<void> {
  for (const main of ['driver/main.ts', 'webhook/main.ts']) {
    await using help = startProcess({ args: [main, '--help'], env })
    await help.exited
  }
}
