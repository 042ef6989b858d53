import { bool } from '../common/flags.ts'
import { HOSTS_FLAGS } from '../driver/hosts-flags.ts'
import { ARTIFACT_FLAGS, sourceOfFlags } from './artifact-flags.ts'
import { createCommand } from './command.ts'
import { inspectArtifact } from './inspection.ts'
import { formatInspection } from './inspection-text.ts'
import { LAYOUT_FLAG, parseLayoutName } from './layout-name.ts'
import { openLayouts, openRegistries, readKeyring } from './registry-access.ts'

/**
 * Prints what a pull with the same flags would do: what would land where, what is skipped and why, and how much is downloaded.
 * It asks for manifests only, and writes nothing.
 */
export const inspect = createCommand({
  summary: 'show what a pull would place where, and what it would leave out',
  usage: 'oras-csi inspect REFERENCE [FLAGS]',
  flags: {
    ...ARTIFACT_FLAGS,
    json: { doc: 'as JSON', parse: bool },
    ...LAYOUT_FLAG,
    ...HOSTS_FLAGS,
  },
  positionals: 1,
  async run(values, [name = ''], io) {
    const layout = values['oci-layout'] ? parseLayoutName(name) : undefined
    const source = sourceOfFlags(layout?.reference ?? name, values)
    await using registries = layout
      ? openLayouts(layout.root, io)
      : openRegistries(values['hosts-directory'], io)
    const inspection = await inspectArtifact(source, registries, {
      keyring: await readKeyring(io),
      signal: io.interrupted,
    })
    io.stdout(
      values.json ? `${JSON.stringify(inspection, undefined, 2)}\n` : formatInspection(inspection),
    )
    return 0
  },
})
