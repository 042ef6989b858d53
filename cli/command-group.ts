import { CodedError } from '../common/errors.ts'
import { didYouMean } from '../common/suggest.ts'
import type { Command } from './command.ts'

/** Makes a command of others: `oras-csi NAME COMMAND`. Each is loaded when it is asked for. */
export function createCommandGroup(group: {
  readonly name: string
  readonly summary: string
  readonly commands: ReadonlyMap<string, () => Promise<Command>>
}): Command {
  const { summary, commands } = group
  return {
    summary,
    async run([name, ...args], io) {
      if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
        io.stdout(await usageOf(group))
        return 0
      }
      const load = commands.get(name)
      if (load === undefined) {
        const hint = didYouMean(name, [...commands.keys()])
        throw new CodedError(
          'INVALID',
          `Unknown command "${group.name} ${name}"${hint} (oras-csi ${group.name} --help lists them)`,
        )
      }
      return (await load()).run(args, io)
    },
  }
}

async function usageOf({
  name,
  commands,
}: Parameters<typeof createCommandGroup>[0]): Promise<string> {
  const rows = await Promise.all(
    [...commands].map(async ([one, load]) => `  ${one.padEnd(10)}${(await load()).summary}\n`),
  )
  return `Usage: oras-csi ${name} COMMAND [FLAGS]\n\nCommands:\n${rows.join('')}\noras-csi ${name} COMMAND --help shows its flags\n`
}
