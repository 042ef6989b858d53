import { createCommandGroup } from './command-group.ts'

/** Finds out about registries, as the driver would. */
export const registry = createCommandGroup({
  name: 'registry',
  summary: 'find out why a registry, or a mirror of it, works or does not',
  commands: new Map([['check', async () => (await import('./registry-check.ts')).registryCheck]]),
})
