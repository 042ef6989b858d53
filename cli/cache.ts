import { createCommandGroup } from './command-group.ts'

/** Shows and cleans what the driver keeps on this node. */
export const cache = createCommandGroup({
  name: 'cache',
  summary: 'show, check and clean what the driver keeps on this node',
  commands: new Map([
    ['ls', async () => (await import('./cache-list.ts')).cacheList],
    ['inspect', async () => (await import('./cache-inspect.ts')).cacheInspect],
    ['verify', async () => (await import('./cache-verify.ts')).cacheVerify],
    ['prune', async () => (await import('./cache-prune.ts')).cachePrune],
    ['purge', async () => (await import('./cache-purge.ts')).cachePurge],
  ]),
})
