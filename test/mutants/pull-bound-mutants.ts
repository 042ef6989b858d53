import type { Mutant } from './mutant.ts'

const STATED_SIZE = ['test/driver/pull/stated-size.test.ts']
const BLOBS = ['test/driver/pull/blob-puller.test.ts']
const TURNS = ['test/driver/pull/turns.test.ts']
const MANIFESTS = ['test/driver/pull/manifest/manifests-in-flight.test.ts']
const LAYOUT = ['test/driver/pull/layout/layout.test.ts']

/** What one pod or registry may take of the driver, each bound taken away. */
export const PULL_BOUND_MUTANTS: readonly Mutant[] = [
  {
    name: 'shows a blob of the disk whatever size the manifest states',
    file: 'driver/pull/blob-puller.ts',
    text: '(await blobs.has(descriptor.digest, origin, descriptor.size)) ||',
    replacement: '(await blobs.has(descriptor.digest, origin)) ||',
    tests: STATED_SIZE,
    only: 'on the disk is told',
  },
  {
    name: 'joins the download of a blob whatever size the manifest states',
    file: 'driver/pull/blob-puller.ts',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is code
    text: '`${keyOf(descriptor, origin)} of ${descriptor.size}`',
    replacement: 'keyOf(descriptor, origin)',
    tests: STATED_SIZE,
    only: 'on its way does not share',
  },
  {
    name: 'takes over a blob of another repository whatever size the manifest states',
    file: 'driver/pull/blob-puller.ts',
    text: 'blobs.has(digest, sibling, size)',
    replacement: 'blobs.has(digest, sibling)',
    tests: STATED_SIZE,
    only: 'of another repository is told',
  },
  {
    name: 'keeps a blob that was cut',
    file: 'driver/store/blobs.ts',
    text: ' && present.size === size',
    replacement: '',
    tests: STATED_SIZE,
    only: 'was cut on the disk',
  },
  {
    name: 'fetches as many manifests at once as are asked for',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: '  total: 16,',
    replacement: '  total: 1_000,',
    tests: MANIFESTS,
    only: 'are sixteen at once',
  },
  {
    name: 'lets one registry have every place for a manifest',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: '  perSharer: 4,',
    replacement: '  perSharer: 16,',
    tests: MANIFESTS,
    only: 'does not stop the others',
  },
  {
    name: 'lets one registry have every download',
    file: 'driver/pull/blob-puller.ts',
    text: 'options.maxDownloads * REGISTRY_SHARE',
    replacement: 'options.maxDownloads',
    tests: BLOBS,
    only: 'leave a turn to the others',
  },
  {
    name: 'lets a byte now and then keep a turn for ever',
    file: 'driver/pull/turns.ts',
    text: 'turn.slow.abort(turn.tooSlow(ms))',
    replacement: 'void turn.tooSlow(ms)',
    tests: TURNS,
    only: 'never gets on',
  },
  {
    name: 'takes the turns of those whom nobody waits for',
    file: 'driver/pull/turns.ts',
    text: ' || (!isFull && !wanted.has(turn.sharer))',
    replacement: '',
    tests: TURNS,
    only: 'left to whom nobody waits for',
  },
  {
    name: 'loses a turn with who left',
    file: 'driver/pull/turns.ts',
    text: '        held.delete(turn)\n',
    replacement: '',
    tests: TURNS,
    only: 'are given back',
  },
  {
    name: 'lays a manifest out as often as it is asked',
    file: 'driver/pull/layout/layout.ts',
    text: '  plans.set(key, answer)\n',
    replacement: '',
    tests: LAYOUT,
    only: 'whoever asks',
  },
]
