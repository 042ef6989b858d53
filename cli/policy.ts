import { CodedError } from '../common/errors.ts'
import { didYouMean } from '../common/suggest.ts'
import type { Command } from './command.ts'

const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['check', async () => (await import('./policy-check.ts')).policyCheck],
  ['test', async () => (await import('./policy-test.ts')).policyTest],
])

/** Tries a policy file out before nodes and webhook have it, with the code that they decide with. */
export const policy: Command = {
  summary: 'check a policy file, and try what it allows',
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
        `Unknown command "policy ${name}"${hint} (oras-csi policy --help lists them)`,
      )
    }
    return (await load()).run(args, io)
  },
}

async function usage(): Promise<string> {
  const rows = await Promise.all(
    [...COMMANDS].map(async ([name, load]) => `  ${name.padEnd(10)}${(await load()).summary}\n`),
  )
  return `Usage: oras-csi policy COMMAND [FLAGS]\n\nCommands:\n${rows.join('')}\noras-csi policy COMMAND --help shows its flags\n`
}
