import { CodedError } from '../common/errors.ts'
import { didYouMean } from '../common/suggest.ts'
import type { Command } from './command.ts'

const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['check', async () => (await import('./registry-check.ts')).registryCheck],
])

/** Finds out about registries, as the driver would. */
export const registry: Command = {
  summary: 'find out why a registry, or a mirror of it, works or does not',
  async run([name, ...args], io) {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      io.stdout(await usage())
      return 0
    }
    const load = COMMANDS.get(name)
    if (load === undefined) {
      const hint = didYouMean(name, [...COMMANDS.keys()])
      throw new CodedError(
        'INVALID',
        `Unknown command "registry ${name}"${hint} (oras-csi registry --help lists them)`,
      )
    }
    return (await load()).run(args, io)
  },
}

async function usage(): Promise<string> {
  const rows = await Promise.all(
    [...COMMANDS].map(async ([name, load]) => `  ${name.padEnd(10)}${(await load()).summary}\n`),
  )
  return `Usage: oras-csi registry COMMAND [FLAGS]\n\nCommands:\n${rows.join('')}\noras-csi registry COMMAND --help shows its flags\n`
}
