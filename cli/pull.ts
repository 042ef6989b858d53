import { mkdtemp, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { HOSTS_FLAGS } from '../driver/hosts-flags.ts'
import { formatBytes } from '../driver/pull/format-progress.ts'
import { ARTIFACT_FLAGS, sourceOfFlags } from './artifact-flags.ts'
import { createCommand } from './command.ts'
import { LAYOUT_FLAG, parseLayoutName } from './layout-name.ts'
import { checkTarget, placeTree } from './new-directory.ts'
import { openPrivateStore } from './private-store.ts'
import { createProgressBar } from './progress-bar.ts'
import { openLayouts, openRegistries, readKeyring } from './registry-access.ts'

/**
 * Lays an artifact out in a new directory by the driver's own code: the same files, names and modes that a pod would see.
 * Credentials are those of `docker login`.
 *
 * The directory appears in one step, complete; on failure or Ctrl-C nothing is left.
 */
export const pull = createCommand({
  summary: 'lay an artifact out in a directory as the driver would',
  usage: 'oras-csi pull REFERENCE DIRECTORY [FLAGS]',
  flags: { ...ARTIFACT_FLAGS, ...LAYOUT_FLAG, ...HOSTS_FLAGS },
  positionals: 2,
  async run(values, [name = '', directory = ''], io) {
    const layout = values['oci-layout'] ? parseLayoutName(name) : undefined
    const source = sourceOfFlags(layout?.reference ?? name, values)
    const target = resolve(directory)
    await checkTarget(target)
    // Beside the target, so that the tree can be renamed into place.
    const work = await mkdtemp(join(dirname(target), '.oras-csi-'))
    try {
      await using registries = layout
        ? openLayouts(layout.root, io)
        : openRegistries(values['hosts-directory'], io)
      await using store = await openPrivateStore(join(work, 'store'), registries, io.interrupted)
      const keyring = await readKeyring(io)
      const started = performance.now()
      using bar = createProgressBar(io)
      const content = await store.ensureContent(source, keyring, bar.show)
      bar.clear()
      await placeTree(content.root, target)
      const seconds = ((performance.now() - started) / 1_000).toFixed(1)
      const { manifest, bytes, inodes } = content
      io.stdout(
        `${directory}: ${inodes} entries, ${formatBytes(bytes)}, from ${manifest} in ${seconds} s\n`,
      )
      return 0
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  },
})
