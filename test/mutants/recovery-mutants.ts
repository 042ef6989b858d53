import type { Mutant } from './mutant.ts'

const RECOVERY = ['test/driver/recovery.process.test.ts']
const VERSIONS = ['test/driver/versions.process.test.ts']
const POWER_LOSS = ['test/driver/power-loss.process.test.ts']
const CACHE = ['test/cli/cache.process.test.ts']
const PRUNE = ['test/driver/store/eviction/plan-prune.test.ts']

/** Breakages of what brings leases, mounts, pods and disks together again, and of the commands for it. */
export const RECOVERY_MUTANTS: readonly Mutant[] = [
  {
    name: 'ends a volume at the first look at which its pod seems gone',
    file: 'driver/volume/reaper.ts',
    text: 'suspected.has(target) && before.has(target)',
    replacement: 'suspected.has(target) || before.has(target)',
    tests: RECOVERY,
    only: 'at one look',
  },
  {
    name: 'concludes that pods are gone from a root that has none',
    file: 'driver/volume/pod-directories.ts',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is code
    text: 'return `"${pods}" has no other pod`',
    replacement: 'return undefined',
    tests: RECOVERY,
    only: 'a root where every pod seems gone',
  },
  {
    name: 'concludes that pods are gone from a root that no kubelet has called from',
    file: 'driver/volume/pod-directories.ts',
    text: 'if (!isRegistered()) return',
    replacement: "if (!isRegistered() && pods === '') return",
    tests: RECOVERY,
    only: 'a root where every pod seems gone',
  },
  {
    name: 'takes a pod that lost its volumes only for one that is there',
    file: 'driver/volume/pod-directories.ts',
    text: "names.every((name) => name === 'volumes')",
    replacement: 'names.length === 0',
    tests: RECOVERY,
    only: 'is ended at the second look',
  },
  {
    name: 'drops the lease of a running pod when it cannot be published again',
    file: 'driver/volume/publisher.ts',
    text: "if (before.state === 'ok' && before.value.requestHash === UNKNOWN_REQUEST) {",
    replacement: "if (before.state !== 'ok' && before.state === 'broken') {",
    tests: RECOVERY,
    only: 'of a pod that is there is taken up',
  },
  {
    name: 'keeps leases that a reboot has made stale',
    file: 'driver/volume/recover.ts',
    text: 'lease.bootId !== store.bootId &&',
    replacement: "lease.bootId === '' &&",
    tests: RECOVERY,
    only: 'a node that was rebooted',
  },
  {
    name: 'takes a store of any format for its own',
    file: 'driver/store/store-format.ts',
    text: 'format.value === STORE_FORMAT',
    replacement: 'format.value !== undefined',
    tests: VERSIONS,
    only: 'a rollback',
  },
  {
    name: 'forgets the leases of drivers of another format',
    file: 'driver/volume/publisher.ts',
    text: 'for (const leases of [store.leases, ...store.otherLeases]) {',
    replacement: 'for (const leases of [store.leases]) {',
    tests: VERSIONS,
    only: 'a rollback',
  },
  {
    name: 'does not know what a driver of another format has published',
    file: 'driver/volume/publisher.ts',
    text: '} else if (await isPublishedByOther(wanted)) {',
    replacement: "} else if (wanted.id === '') {",
    tests: VERSIONS,
    only: 'a rollback',
  },
  {
    name: 'believes records of another boot that nothing calls durable',
    file: 'driver/store/committed.ts',
    text: '(!meta.value.durable && meta.value.bootId !== bootId)',
    replacement: '(!meta.value.durable && meta.value.bootId === undefined)',
    tests: POWER_LOSS,
    only: 'the wrong content',
  },
  {
    name: 'calls durable what was never synced',
    file: 'driver/store/committed.ts',
    text: 'const mark: CommitMark = { bootId, durable: false }',
    replacement: 'const mark: CommitMark = { bootId, durable: true }',
    tests: POWER_LOSS,
    only: 'leaves files empty',
  },
  {
    name: 'marks what a sync may have lost',
    file: 'driver/store/durability.ts',
    text: 'await sync(fd)',
    replacement: 'await sync(fd).catch(() => undefined)',
    tests: ['test/driver/store/durability.test.ts'],
  },
  {
    name: 'prunes what volumes need',
    file: 'driver/store/eviction/plan-prune.ts',
    text: 'options.held.has(key) || usedMs >= usedBefore',
    replacement: 'usedMs >= usedBefore',
    tests: PRUNE,
  },
  {
    name: 'prunes files of trees that stay',
    file: 'driver/store/eviction/plan-prune.ts',
    text: 'isLinked !== true || !used.tree.has(key)',
    replacement: 'isLinked !== true || used.tree.size >= 0',
    tests: PRUNE,
  },
  {
    name: 'tells a kubelet that what was found damaged is not what it published',
    file: 'driver/volume/publisher.ts',
    text: 'shows(mounts, shown) ||\n',
    replacement: 'shows(mounts, shown) &&\n',
    tests: CACHE,
    only: 'finds what the disk has changed',
  },
  {
    name: 'finds no tree damaged by a damaged blob',
    file: 'cli/cache-verification.ts',
    text: 'if (inode !== undefined) damaged.set(inode, blob.digest)',
    replacement: '',
    tests: CACHE,
    only: 'finds what the disk has changed',
  },
  {
    name: 'removes a store that volumes show',
    file: 'cli/cache-purge.ts',
    text: 'refuseVolumes(await readInventory(directory), await readBootId())',
    replacement: '',
    tests: CACHE,
    only: 'refuses while a driver runs',
  },
  {
    name: 'removes a store that a mount shows',
    file: 'cli/cache-purge.ts',
    text: '    refuseMounts(directory)\n',
    replacement: '',
    tests: CACHE,
    only: 'refuses while a driver runs',
  },
]
