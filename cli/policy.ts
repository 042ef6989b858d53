import { createCommandGroup } from './command-group.ts'

/** Tries a policy file out before nodes and webhook have it, with the code that they decide with. */
export const policy = createCommandGroup({
  name: 'policy',
  summary: 'check a policy file, and try what it allows',
  commands: new Map([
    ['check', async () => (await import('./policy-check.ts')).policyCheck],
    ['test', async () => (await import('./policy-test.ts')).policyTest],
  ]),
})
