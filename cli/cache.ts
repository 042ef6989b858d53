import { CodedError } from '../common/errors.ts'
import { didYouMean } from '../common/suggest.ts'
import type { Command } from './command.ts'

const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['ls', async () => (await import('./cache-list.ts')).cacheList],
  ['inspect', async () => (await import('./cache-inspect.ts')).cacheInspect],
  ['verify', async () => (await import('./cache-verify.ts')).cacheVerify],
  ['prune', async () => (await import('./cache-prune.ts')).cachePrune],
  ['purge', async () => (await import('./cache-purge.ts')).cachePurge],
])

/** Shows and cleans what the driver keeps on this node. */
export const cache: Command = {
  summary: 'show, check and clean what the driver keeps on this node',
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
        `Unknown command "cache ${name}"${hint} (oras-csi cache --help lists them)`,
      )
    }
    return (await load()).run(args, io)
  },
}

async function usage(): Promise<string> {
  const rows = await Promise.all(
    [...COMMANDS].map(async ([name, load]) => `  ${name.padEnd(10)}${(await load()).summary}\n`),
  )
  return `Usage: oras-csi cache COMMAND [FLAGS]\n\nCommands:\n${rows.join('')}\noras-csi cache COMMAND --help shows its flags\n`
}
