import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exists } from '../../support/cache-directory.ts'
import { run, runToEnd } from '../../support/command.ts'
import { ADDRESSES } from '../addresses.ts'
import type { Places } from '../places.ts'

/** What the kubelet and the bridge plug-in change, below /proc/sys. */
const SETTINGS = [
  'vm/overcommit_memory',
  'kernel/panic',
  'kernel/panic_on_oops',
  'net/ipv4/ip_forward',
] as const

/** Makes the link that carries the node's addresses, and notes the kernel settings that the node's daemons change. */
export async function openNetwork(places: Places): Promise<void> {
  const settings = join(places.run, 'kernel-settings.json')
  if (!(await exists(settings))) {
    const values = await Promise.all(
      SETTINGS.map(async (name) => [name, (await readFile(`/proc/sys/${name}`, 'utf8')).trim()]),
    )
    await writeFile(settings, JSON.stringify(Object.fromEntries(values)))
  }
  const { nodeLink, node, apiServer } = ADDRESSES
  if (await exists(`/sys/class/net/${nodeLink}`)) return
  await run('ip', ['link', 'add', nodeLink, 'type', 'bridge'])
  for (const address of [node, apiServer]) {
    await run('ip', ['address', 'add', `${address}/32`, 'dev', nodeLink])
  }
  await run('ip', ['link', 'set', nodeLink, 'up'])
}

/** Removes the links, and puts the kernel settings back. */
export async function closeNetwork(places: Places): Promise<void> {
  for (const link of [ADDRESSES.podLink, ADDRESSES.nodeLink]) {
    // Status 1: it is not there.
    await runToEnd('ip', ['link', 'delete', link], { accept: [0, 1] })
  }
  const text = await readFile(join(places.run, 'kernel-settings.json'), 'utf8').catch(() => '{}')
  const settings: Record<string, string> = JSON.parse(text)
  for (const [name, value] of Object.entries(settings)) {
    await writeFile(`/proc/sys/${name}`, value)
  }
}
