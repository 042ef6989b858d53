import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { runDemo } from './demo.ts'
import { createStage } from './stage.ts'

/** Set for the process that runs inside the mount namespace. */
const INSIDE = 'ORAS_CSI_DEMO_INSIDE'

// Mounts need root, and a mount namespace of their own so that the machine never sees them. Whoever is not root is it in a user namespace.
if (process.env[INSIDE] === undefined) {
  const flags = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user']
  const { status, error } = spawnSync(
    'unshare',
    [...flags, '--', process.execPath, ...process.argv.slice(1)],
    { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } },
  )
  if (error !== undefined || status === null) {
    process.stderr.write(`Cannot run unshare (package util-linux): ${error?.message}\n`)
  } else if (status !== 0) {
    process.stderr.write(
      'The demo did not finish. It needs root, or a kernel that lets users make namespaces.\n',
    )
  }
  process.exitCode = status ?? 1
} else {
  await runDemo(createStage(process.stdout))
}
