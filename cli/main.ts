#!/usr/bin/env node
import process from 'node:process'
import { text as readAll } from 'node:stream/consumers'
import { CodedError, toCodedError } from '../common/errors.ts'
import { packageVersion } from '../common/package-version.ts'
import { didYouMean } from '../common/suggest.ts'
import type { Command, Io } from './command.ts'

/** Loaded when asked for: `preview` does not wait for what only `pull` needs. */
const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['cache', async () => (await import('./cache.ts')).cache],
  ['check', async () => (await import('./check.ts')).check],
  ['inspect', async () => (await import('./inspect.ts')).inspect],
  ['krm', async () => (await import('./krm.ts')).krm],
  ['lint', async () => (await import('./lint.ts')).lint],
  ['policy', async () => (await import('./policy.ts')).policy],
  ['preview', async () => (await import('./preview.ts')).preview],
  ['pull', async () => (await import('./pull.ts')).pull],
  ['registry', async () => (await import('./registry.ts')).registry],
])

process.exitCode = await main(process.argv.slice(2), {
  env: process.env,
  readStdin: () => readAll(process.stdin),
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  isTerminal: process.stdout.isTTY === true,
  stderrIsTerminal: process.stderr.isTTY === true,
  interrupted: interrupted(),
})

async function main([name, ...args]: readonly string[], io: Io): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.stdout(await usage())
    return 0
  }
  if (name === '--version' || name === 'version') {
    io.stdout(`${packageVersion(import.meta.dirname)}\n`)
    return 0
  }
  const load = COMMANDS.get(name)
  if (load === undefined) {
    const hint = didYouMean(name, [...COMMANDS.keys()])
    io.stderr(`Unknown command ${JSON.stringify(name)}${hint} (--help lists them)\n`)
    return 2
  }
  try {
    return await (await load()).run(args, io)
  } catch (thrown) {
    const error = toCodedError(thrown)
    const detail = error.code === 'INTERNAL' && thrown instanceof Error ? thrown.stack : undefined
    io.stderr(`${detail ?? error.message}\n`)
    return 2
  }
}

async function usage(): Promise<string> {
  const rows = await Promise.all(
    [...COMMANDS].map(async ([name, load]) => `  ${name.padEnd(10)}${(await load()).summary}\n`),
  )
  return `Usage: oras-csi COMMAND [FLAGS]\n\nCommands:\n${rows.join('')}\noras-csi COMMAND --help shows its flags\n`
}

function interrupted(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort(new CodedError('UNAVAILABLE', 'Interrupted')))
  }
  return controller.signal
}
